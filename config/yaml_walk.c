// One walk over the events of a YAML document, along the schema that libcyaml will load it with.
//
// libcyaml finds the same faults but cannot say where they are; the walk finds them in the order of
// the file, with line and key, so that what reaches libcyaml is known to fit.
#include "config/yaml_walk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int yaml_fail(struct yaml_walk *walk, size_t line, const char *format, ...)
{
    char *out = walk->error->message;
    size_t size = sizeof(walk->error->message);
    int used = snprintf(out, size, "%s:%zu: %s%s", walk->label, line + 1, walk->path,
                        walk->path[0] ? ": " : "");
    if (used > 0 && (size_t)used < size) {
        va_list args;
        va_start(args, format);
        vsnprintf(out + used, size - (size_t)used, format, args);
        va_end(args);
    }
    return -EINVAL;
}

int yaml_fail_memory(const char *label, struct sl_yaml_error *error)
{
    snprintf(error->message, sizeof(error->message), "%s: out of memory", label);
    return -ENOMEM;
}

void yaml_printable(const unsigned char *text, size_t length, char out[64])
{
    size_t n = length < 40 ? length : 40;
    while (n < length && n > 0 && (text[n] & 0xC0) == 0x80) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = text[i] < 0x20 || text[i] == 0x7F ? '?' : (char)text[i];
    }
    strcpy(out + n, n < length ? "…" : "");
}

bool yaml_is_null(const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return false;
    }
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++) {
        if (strcmp((const char *)event->data.scalar.value, nulls[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void describe_event(const yaml_event_t *event, char *out, size_t size)
{
    if (event->type == YAML_MAPPING_START_EVENT) {
        snprintf(out, size, "a mapping");
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        snprintf(out, size, "a list");
    } else if (event->type != YAML_SCALAR_EVENT || yaml_is_null(event)) {
        snprintf(out, size, "nothing");
    } else {
        char text[64];
        yaml_printable(event->data.scalar.value, event->data.scalar.length, text);
        bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        snprintf(out, size, "%s'%s'", plain ? "" : "the quoted text ", text);
    }
}

static int fail_found(struct yaml_walk *walk, const cyaml_schema_value_t *schema, size_t line,
                      const char *found)
{
    char expected[256];
    yaml_expected(walk, schema, expected, sizeof(expected));
    return yaml_fail(walk, line, "expected %s%s found %s", expected,
                     schema->type == CYAML_ENUM ? ";" : ",", found);
}

int yaml_fail_type(struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    char found[128];
    describe_event(&walk->event, found, sizeof(found));
    return fail_found(walk, schema, walk->event.start_mark.line, found);
}

static int fail_syntax(struct yaml_walk *walk)
{
    const yaml_parser_t *p = &walk->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        return yaml_fail_memory(walk->label, walk->error);
    }
    walk->path[0] = '\0'; // the key before is rarely the one at fault
    if (p->context) {
        return yaml_fail(walk, p->problem_mark.line, "not valid YAML: %s (%s from line %zu)",
                         p->problem, p->context, p->context_mark.line + 1);
    }
    return yaml_fail(walk, p->problem_mark.line, "not valid YAML: %s",
                     p->problem ? p->problem : "unreadable");
}

// Anchors make one value stand in two places and tags change its type: neither is for a
// configuration that people must be able to read.
static int refuse_decoration(struct yaml_walk *walk)
{
    const yaml_event_t *e = &walk->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_ALIAS_EVENT) {
        anchor = e->data.alias.anchor;
    } else if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (!anchor && !tag) {
        return 0;
    }
    char text[64];
    const yaml_char_t *name = anchor ? anchor : tag;
    yaml_printable(name, strlen((const char *)name), text);
    return yaml_fail(walk, e->start_mark.line, "%s are not allowed, found '%s'",
                     anchor ? "anchors and aliases" : "tags", text);
}

static int next_event(struct yaml_walk *walk)
{
    yaml_event_delete(&walk->event);
    if (!yaml_parser_parse(&walk->parser, &walk->event)) {
        return fail_syntax(walk);
    }
    return refuse_decoration(walk);
}

struct place {
    size_t path, pattern;
};

static struct place enter(struct yaml_walk *walk, const char *path, const char *pattern)
{
    struct place place = {strlen(walk->path), strlen(walk->pattern)};
    snprintf(walk->path + place.path, sizeof(walk->path) - place.path, "%s", path);
    snprintf(walk->pattern + place.pattern, sizeof(walk->pattern) - place.pattern, "%s", pattern);
    return place;
}

static struct place enter_key(struct yaml_walk *walk, const char *key)
{
    char step[80];
    snprintf(step, sizeof(step), "%s%s", walk->path[0] ? "." : "", key);
    return enter(walk, step, step);
}

static void leave(struct yaml_walk *walk, struct place place)
{
    walk->path[place.path] = '\0';
    walk->pattern[place.pattern] = '\0';
}

static size_t count_fields(const cyaml_schema_field_t *fields)
{
    size_t n = 0;
    while (fields[n].key) {
        n++;
    }
    return n;
}

static int fail_unknown_key(struct yaml_walk *walk, const cyaml_schema_field_t *fields, size_t n)
{
    char key[64], valid[200] = "";
    yaml_printable(walk->event.data.scalar.value, walk->event.data.scalar.length, key);
    struct place place = enter_key(walk, key);
    const char *nearest = yaml_nearest(key, fields);
    int status = 0;
    if (nearest) {
        status = yaml_fail(walk, walk->event.start_mark.line, "unknown key; did you mean '%s'?",
                           nearest);
    } else {
        size_t used = 0;
        for (size_t i = 0; i < n && used < sizeof(valid); i++) {
            used += (size_t)snprintf(valid + used, sizeof(valid) - used, "%s%s", i ? ", " : "",
                                     fields[i].key);
        }
        status =
            yaml_fail(walk, walk->event.start_mark.line, "unknown key; expected one of %s", valid);
    }
    leave(walk, place);
    return status;
}

// Finds the field that the key at the walk names; `lines` holds where each was seen, plus one.
static int find_field(struct yaml_walk *walk, const cyaml_schema_field_t *fields, size_t *lines,
                      const cyaml_schema_field_t **out)
{
    const yaml_event_t *e = &walk->event;
    if (e->type != YAML_SCALAR_EVENT) {
        char found[128];
        describe_event(e, found, sizeof(found));
        return yaml_fail(walk, e->start_mark.line, "expected a key, found %s", found);
    }
    size_t n = count_fields(fields), length = e->data.scalar.length;
    for (size_t i = 0; i < n; i++) {
        if (strlen(fields[i].key) != length ||
            memcmp(fields[i].key, e->data.scalar.value, length) != 0) {
            continue;
        }
        if (lines[i]) {
            struct place place = enter_key(walk, fields[i].key);
            int status =
                yaml_fail(walk, e->start_mark.line, "key given twice, first on line %zu", lines[i]);
            leave(walk, place);
            return status;
        }
        lines[i] = e->start_mark.line + 1;
        *out = &fields[i];
        return 0;
    }
    return fail_unknown_key(walk, fields, n);
}

static int check_missing(struct yaml_walk *walk, const cyaml_schema_field_t *fields,
                         const size_t *lines, size_t start_line)
{
    for (size_t i = 0; fields[i].key; i++) {
        if (!lines[i] && !(fields[i].value.flags & CYAML_FLAG_OPTIONAL)) {
            struct place place = enter_key(walk, fields[i].key);
            int status = fail_found(walk, &fields[i].value, start_line, "no such key");
            leave(walk, place);
            return status;
        }
    }
    return 0;
}

static int check_value(struct yaml_walk *walk, const cyaml_schema_value_t *schema);

static int check_fields(struct yaml_walk *walk, const cyaml_schema_field_t *fields, size_t *lines)
{
    size_t start_line = walk->event.start_mark.line;
    for (;;) {
        int status = next_event(walk);
        if (status) {
            return status;
        }
        if (walk->event.type == YAML_MAPPING_END_EVENT) {
            return check_missing(walk, fields, lines, start_line);
        }
        const cyaml_schema_field_t *field = NULL;
        status = find_field(walk, fields, lines, &field);
        if (status) {
            return status;
        }
        struct place place = enter_key(walk, field->key);
        status = next_event(walk);
        if (!status) {
            status = check_value(walk, &field->value);
        }
        leave(walk, place);
        if (status) {
            return status;
        }
    }
}

static int check_mapping(struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    if (walk->event.type != YAML_MAPPING_START_EVENT) {
        return yaml_fail_type(walk, schema);
    }
    const cyaml_schema_field_t *fields = schema->mapping.fields;
    size_t *lines = calloc(count_fields(fields) + 1, sizeof(*lines));
    if (!lines) {
        return yaml_fail_memory(walk->label, walk->error);
    }
    int status = check_fields(walk, fields, lines);
    free(lines);
    return status;
}

static int check_sequence(struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    if (walk->event.type != YAML_SEQUENCE_START_EVENT) {
        return yaml_fail_type(walk, schema);
    }
    size_t start_line = walk->event.start_mark.line;
    for (uint32_t count = 0;; count++) {
        int status = next_event(walk);
        if (status) {
            return status;
        }
        bool end = walk->event.type == YAML_SEQUENCE_END_EVENT;
        if (end && count >= schema->sequence.min) {
            return 0;
        }
        if (end || count == schema->sequence.max) {
            char found[32];
            snprintf(found, sizeof(found), end ? "%u" : "more than %u", count);
            return fail_found(walk, schema, start_line, found);
        }
        char index[16];
        snprintf(index, sizeof(index), "[%u]", count);
        struct place place = enter(walk, index, "[]");
        status = check_value(walk, schema->sequence.entry);
        leave(walk, place);
        if (status) {
            return status;
        }
    }
}

// Whether the walk stands at a null that libcyaml takes for an absent value.
static bool is_allowed_null(const struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    if (!yaml_is_null(&walk->event)) {
        return false;
    }
    unsigned flag =
        walk->event.data.scalar.length ? CYAML_FLAG_POINTER_NULL_STR : CYAML_FLAG_POINTER_NULL;
    return ((unsigned)schema->flags & flag) == flag;
}

static int check_value(struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    if (is_allowed_null(walk, schema)) {
        return 0;
    }
    if (walk->depth == YAML_MAX_DEPTH) {
        return yaml_fail(walk, walk->event.start_mark.line, "nested deeper than %u levels",
                         YAML_MAX_DEPTH);
    }
    walk->depth++;
    int status = 0;
    switch (schema->type) {
    case CYAML_MAPPING:
        status = check_mapping(walk, schema);
        break;
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
        status = check_sequence(walk, schema);
        break;
    case CYAML_INT:
    case CYAML_UINT:
    case CYAML_FLOAT:
    case CYAML_BOOL:
    case CYAML_ENUM:
    case CYAML_STRING:
        status = yaml_check_scalar(walk, schema);
        break;
    default:
        status = yaml_fail(walk, walk->event.start_mark.line,
                           "the schema has a type that is not read here (%d)", (int)schema->type);
        break;
    }
    walk->depth--;
    return status;
}

static int walk_stream(struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    int status = next_event(walk); // start of the stream
    if (!status) {
        status = next_event(walk); // start of the document, or the end of an empty stream
    }
    if (!status && walk->event.type == YAML_STREAM_END_EVENT) {
        return yaml_fail_type(walk, schema);
    }
    if (!status) {
        status = next_event(walk);
    }
    if (!status) {
        status = check_value(walk, schema);
    }
    if (!status) {
        status = next_event(walk); // end of the document
    }
    if (!status) {
        status = next_event(walk);
    }
    if (!status && walk->event.type != YAML_STREAM_END_EVENT) {
        return yaml_fail(walk, walk->event.start_mark.line,
                         "expected one document, found a second");
    }
    return status;
}

int yaml_walk(const char *label, const char *text, size_t size, const struct sl_yaml_schema *schema,
              struct sl_yaml_error *error)
{
    struct yaml_walk walk = {.label = label, .ranges = schema->ranges, .error = error};
    if (!yaml_parser_initialize(&walk.parser)) {
        return yaml_fail_memory(label, error);
    }
    yaml_parser_set_encoding(&walk.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&walk.parser, (const unsigned char *)text, size);
    int status = walk_stream(&walk, schema->value);
    yaml_event_delete(&walk.event);
    yaml_parser_delete(&walk.parser);
    return status;
}
