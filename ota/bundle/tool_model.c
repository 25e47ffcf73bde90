// What a bundle needs to know of a model directory: which files model.yaml names, and the input.
// Whether the model is a good one is for `sightline eval`, and for the camera's self-test.
#include "ota/bundle/tool.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { MODEL_YAML_MAX = 1 << 20 };

static const yaml_node_t *child(yaml_document_t *y, const yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *k = yaml_document_get_node(y, p->key);
        if (k->type == YAML_SCALAR_NODE && !strcmp((const char *)k->data.scalar.value, key))
            return yaml_document_get_node(y, p->value);
    }
    return NULL;
}

static const char *text_of(yaml_document_t *y, const yaml_node_t *map, const char *key)
{
    const yaml_node_t *n = child(y, map, key);
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

static int add_component(struct tool_model *m, const char *name)
{
    char text[SL_NAME_MAX + 2];
    const size_t length = strlen(name);
    struct sl_octets octets = {(const uint8_t *)text, length + 1};
    if (length <= SL_NAME_MAX) {
        text[0] = (char)length;
        memcpy(text + 1, name, length);
    }
    for (unsigned i = 0; i < m->count; i++)
        if (!strcmp(m->components[i], name))
            return 0;
    if (m->count == SL_COMPONENTS_MAX)
        return tool_fail("model.yaml names more than %d files", SL_COMPONENTS_MAX);
    if (length > SL_NAME_MAX ||
        !sl_take_text(&octets, true, m->components[m->count], sizeof(m->components[0])))
        return tool_fail("model.yaml names '%s': expected a relative path of up to %d letters, "
                         "digits and ._+-/",
                         name, SL_NAME_MAX);
    m->count++;
    return 0;
}

static int add_golden(yaml_document_t *y, const yaml_node_t *root, struct tool_model *m)
{
    static const char *const keys[] = {"picture", "reference", "expect"};
    const yaml_node_t *list = child(y, root, "golden");
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return 0;
    for (const yaml_node_item_t *i = list->data.sequence.items.start;
         i < list->data.sequence.items.top; i++)
        for (unsigned k = 0; k < 3; k++) {
            const char *name = text_of(y, yaml_document_get_node(y, *i), keys[k]);
            if (name && add_component(m, name) != 0)
                return 1;
        }
    return 0;
}

static uint32_t size_of(yaml_document_t *y, const yaml_node_t *map, const char *key)
{
    const char *text = text_of(y, map, key);
    char *end = NULL;
    const unsigned long value = text ? strtoul(text, &end, 10) : 0;
    return text && *text && !*end && value <= 65536 ? (uint32_t)value : 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int read_document(yaml_document_t *y, struct tool_model *m)
{
    const yaml_node_t *root = yaml_document_get_root_node(y), *input = child(y, root, "input");
    const yaml_node_t *channels = child(y, input, "channels");
    const char *name = text_of(y, root, "name"), *version = text_of(y, root, "version");
    const char *network = text_of(y, root, "network"), *licence = text_of(y, root, "licence");
    if (!name || !version || !network)
        return tool_fail("model.yaml: expected name, version and network");
    snprintf(m->name, sizeof(m->name), "%s", name);
    snprintf(m->version, sizeof(m->version), "%s", version);
    m->width = size_of(y, input, "width");
    m->height = size_of(y, input, "height");
    if (channels && channels->type == YAML_SEQUENCE_NODE)
        m->channels =
            (uint32_t)(channels->data.sequence.items.top - channels->data.sequence.items.start);
    if (!m->width || !m->height || !m->channels)
        return tool_fail("model.yaml: expected input.width, input.height and input.channels");
    if (add_component(m, "model.yaml") || add_component(m, network) ||
        (licence && add_component(m, licence)) || add_golden(y, root, m))
        return 1;
    qsort(m->components, m->count, sizeof(m->components[0]), compare);
    return 0;
}

int tool_read_model(const char *directory, struct tool_model *out)
{
    static uint8_t text[MODEL_YAML_MAX];
    char path[PATH_MAX];
    yaml_parser_t parser;
    yaml_document_t document;
    size_t size;
    snprintf(path, sizeof(path), "%s/model.yaml", directory);
    if (tool_read(path, text, sizeof(text), &size) != 0)
        return 1;
    if (!yaml_parser_initialize(&parser))
        return tool_fail("out of memory");
    yaml_parser_set_input_string(&parser, text, size);
    if (!yaml_parser_load(&parser, &document)) {
        tool_fail("%s:%zu: %s", path, parser.problem_mark.line + 1,
                  parser.problem ? parser.problem : "not YAML");
        yaml_parser_delete(&parser);
        return 1;
    }
    memset(out, 0, sizeof(*out));
    const int status = read_document(&document, out);
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return status;
}
