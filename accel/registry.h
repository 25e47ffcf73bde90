// The table of back ends by name.
#ifndef SL_ACCEL_REGISTRY_H
#define SL_ACCEL_REGISTRY_H

#include "accel/plugin.h"

#include <stddef.h>

// The back end with missing members as NULL; NULL if there is none of that name.
const struct sl_backend *sl_registry_find(const char *name, size_t length);
const struct sl_backend *sl_registry_at(size_t index); // NULL beyond the last
// "cpu, ladder": for messages.
void sl_registry_names(char *text, size_t size);

extern const struct sl_host sl_host;

#endif
