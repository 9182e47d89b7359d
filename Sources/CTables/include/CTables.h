#pragma once
#include <stddef.h>

typedef struct {
  const unsigned char *bytes;
  size_t count;
} gantry_table;

/// What scripts/generate-tables makes: kinds, shapes, defaults, columns.
gantry_table gantry_kubernetes_table(void);

/// The table that scripts/generate-cri-tables makes: messages, enums and methods of CRI v1.
gantry_table gantry_cri_table(void);

/// What every type and field is for: JSON, type → field → text. For OpenAPI and explain.
gantry_table gantry_kubernetes_descriptions(void);

/// What scripts/generate-rules makes: the rules of validation, by type.
gantry_table gantry_validation_table(void);
