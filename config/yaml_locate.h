// Finds the line on which a key stands, for checks that are made after loading.
#ifndef SL_CONFIG_YAML_LOCATE_H
#define SL_CONFIG_YAML_LOCATE_H

#include <stddef.h>

// The line (from 1) of the value at `path`, written as in messages: "cameras[0].source.type". If
// the key itself is not in the text, the line of the nearest mapping around it; 0 if the text
// cannot be read.
size_t yaml_locate(const char *text, size_t size, const char *path);

#endif
