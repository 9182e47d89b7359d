#include "CTables.h"

// Tables are data: embedded as they are, parsed when first used.
static const unsigned char kubernetes[] = {
#embed "kubernetes.json"
};
static const unsigned char descriptions[] = {
#embed "descriptions.json"
};

gantry_table gantry_kubernetes_table(void) { return (gantry_table){kubernetes, sizeof kubernetes}; }
gantry_table gantry_kubernetes_descriptions(void) { return (gantry_table){descriptions, sizeof descriptions}; }
