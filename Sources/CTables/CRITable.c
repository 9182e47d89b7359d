#include "CTables.h"

// Made by scripts/generate-cri-tables.
static const unsigned char cri[] = {
#embed "cri.json"
};

gantry_table gantry_cri_table(void) { return (gantry_table){cri, sizeof cri}; }
