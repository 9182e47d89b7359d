#include "CTables.h"

// Read when the first object is validated; until then it is pages of the file, not memory.
static const unsigned char validation[] = {
#embed "validation.json"
};

gantry_table gantry_validation_table(void) { return (gantry_table){validation, sizeof validation}; }
