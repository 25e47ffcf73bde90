// Finds the line on which a key stands, for checks that are made after loading.
#include "config/yaml_locate.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static yaml_node_t *find_key(yaml_document_t *document, const yaml_node_t *mapping, const char *key,
                             size_t length)
{
    if (mapping->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    const yaml_node_pair_t *end = mapping->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < end; p++) {
        const yaml_node_t *name = yaml_document_get_node(document, p->key);
        if (name && name->type == YAML_SCALAR_NODE && name->data.scalar.length == length &&
            memcmp(name->data.scalar.value, key, length) == 0) {
            return yaml_document_get_node(document, p->value);
        }
    }
    return NULL;
}

static yaml_node_t *find_index(yaml_document_t *document, const yaml_node_t *sequence,
                               unsigned long index)
{
    if (sequence->type != YAML_SEQUENCE_NODE) {
        return NULL;
    }
    const yaml_node_item_t *start = sequence->data.sequence.items.start;
    if (index >= (size_t)(sequence->data.sequence.items.top - start)) {
        return NULL;
    }
    return yaml_document_get_node(document, start[index]);
}

static size_t find_line(yaml_document_t *document, const char *path)
{
    yaml_node_t *node = yaml_document_get_root_node(document);
    size_t line = 0;
    while (node) {
        line = node->start_mark.line + 1;
        if (*path == '.') {
            path++;
        }
        if (*path == '\0') {
            break;
        }
        if (*path == '[') {
            char *end = NULL;
            node = find_index(document, node, strtoul(path + 1, &end, 10));
            path = *end == ']' ? end + 1 : end;
        } else {
            size_t length = strcspn(path, ".[");
            node = find_key(document, node, path, length);
            path += length;
        }
    }
    return line;
}

size_t yaml_locate(const char *text, size_t size, const char *path)
{
    yaml_parser_t parser;
    yaml_document_t document;
    if (!yaml_parser_initialize(&parser)) {
        return 0;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    size_t line = 0;
    if (yaml_parser_load(&parser, &document)) {
        line = find_line(&document, path);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return line;
}
