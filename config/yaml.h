// Strict YAML: a libcyaml schema, with errors that a person can act on.
//
//     camera.yaml:12: cameras[0].source.format: expected one of mjpeg, yuyv, grey, nv12; found
//     'mjpg' camera.yaml:3: borker: unknown key; did you mean 'broker'?
//
// Whole numbers, numbers, truth values, enumerations, text, mappings and lists are read; libcyaml's
// other types (flags, bit fields, ignored values) are refused as a mistake in the schema.
//
// No GLib here: inference/ reads model.yaml through this too.
#ifndef SL_CONFIG_YAML_H
#define SL_CONFIG_YAML_H

#include <cyaml/cyaml.h>
#include <stddef.h>

#define SL_YAML_ERROR_MAX 512

struct sl_yaml_error {
    char message[SL_YAML_ERROR_MAX];
};

// A limit on a number, or on the length of a string, by the path of its key with [] for any index:
// "cameras[].part.deadline_ms".
struct sl_yaml_range {
    const char *path;
    double min, max;
};

// A schema with its limits; `ranges` ends with a NULL path and may be NULL.
struct sl_yaml_schema {
    const cyaml_schema_value_t *value;
    const struct sl_yaml_range *ranges;
};

// Parses `text` (no NUL needed; at most 1 MiB, 64 levels deep, no aliases) and loads it into what
// the schema describes. `label` is the file's name in messages. The first error in the order of
// the file is reported. Returns 0, or a negative errno (-EINVAL for anything wrong in the text)
// with *out untouched.
int sl_yaml_load(const char *label, const char *text, size_t size,
                 const struct sl_yaml_schema *schema, void **out, struct sl_yaml_error *error);
void sl_yaml_free(const struct sl_yaml_schema *schema, void *data);

#endif
