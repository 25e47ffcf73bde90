// Inside of config/yaml: the walk over a document's events along a schema.
#ifndef SL_CONFIG_YAML_WALK_H
#define SL_CONFIG_YAML_WALK_H

#include "config/yaml.h"

#include <stdbool.h>
#include <stdint.h>
#include <yaml.h>

#define YAML_MAX_DEPTH 64u

struct yaml_walk {
    yaml_parser_t parser;
    yaml_event_t event; // the one being looked at
    const char *label;
    const struct sl_yaml_range *ranges;
    unsigned depth;
    char path[256];    // "cameras[0].name", for people
    char pattern[256]; // "cameras[].name", for the table of ranges
    struct sl_yaml_error *error;
};

// Checks the whole text against the schema. 0, -EINVAL or -ENOMEM.
int yaml_walk(const char *label, const char *text, size_t size, const struct sl_yaml_schema *schema,
              struct sl_yaml_error *error);

// Checks the scalar that stands at the walk against a schema of a scalar type.
int yaml_check_scalar(struct yaml_walk *walk, const cyaml_schema_value_t *schema);

// "LABEL:LINE: PATH: message" into the walk's error; returns -EINVAL.
int yaml_fail(struct yaml_walk *walk, size_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int yaml_fail_memory(const char *label, struct sl_yaml_error *error); // returns -ENOMEM

// "expected …, found …", for the event that stands at the walk.
int yaml_fail_type(struct yaml_walk *walk, const cyaml_schema_value_t *schema);

// What the schema wants, in words: "a whole number from 1 to 10".
void yaml_expected(const struct yaml_walk *walk, const cyaml_schema_value_t *schema, char *out,
                   size_t size);

// A value of the file, fit for a message: printable, cut short. `out` holds at least 64 bytes.
void yaml_printable(const unsigned char *text, size_t length, char out[64]);

bool yaml_is_null(const yaml_event_t *event);

// The key that was most likely meant by `word`, or NULL if none comes near.
const char *yaml_nearest(const char *word, const cyaml_schema_field_t *fields);

#endif
