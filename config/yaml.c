// Strict YAML: the text is checked as a whole, walked along the schema, then loaded by libcyaml.
#include "config/yaml.h"

#include "config/yaml_walk.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (1u << 20)

static const cyaml_config_t loader = {
    .mem_fn = cyaml_mem,
    .log_level = CYAML_LOG_ERROR,
    .flags = CYAML_CFG_NO_ALIAS,
};

// Length of the UTF-8 sequence at `s`, or 0 if it is not one (RFC 3629: no overlong forms, no
// surrogates, nothing above U+10FFFF).
static size_t utf8_length(const unsigned char *s, size_t left)
{
    unsigned char lead = s[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || left < n) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (lead == 0xE0 && s[1] < 0xA0) || (lead == 0xF0 && s[1] < 0x90);
    bool beyond = (lead == 0xED && s[1] > 0x9F) || (lead == 0xF4 && s[1] > 0x8F);
    return overlong || beyond ? 0 : n;
}

static bool is_text(const unsigned char *s)
{
    return (*s >= 0x20 && *s != 0x7F) || *s == '\t' || *s == '\n' || *s == '\r';
}

static int check_bytes(const char *label, const char *text, size_t size,
                       struct sl_yaml_error *error)
{
    if (size > TEXT_MAX) {
        snprintf(error->message, sizeof(error->message), "%s: expected at most %u bytes, found %zu",
                 label, TEXT_MAX, size);
        return -EINVAL;
    }
    const unsigned char *s = (const unsigned char *)text;
    size_t line = 1;
    for (size_t i = 0; i < size;) {
        size_t n = utf8_length(s + i, size - i);
        if (n == 0 || !is_text(s + i)) {
            snprintf(error->message, sizeof(error->message),
                     "%s:%zu: expected UTF-8 text, found the byte 0x%02X", label, line, s[i]);
            return -EINVAL;
        }
        line += s[i] == '\n';
        i += n;
    }
    return 0;
}

static int walk_and_load(const char *label, const char *text, size_t size,
                         const struct sl_yaml_schema *schema, void **out,
                         struct sl_yaml_error *error)
{
    int status = yaml_walk(label, text, size, schema, error);
    if (status) {
        return status;
    }
    cyaml_data_t *data = NULL;
    cyaml_err_t loaded =
        cyaml_load_data((const uint8_t *)text, size, &loader, schema->value, &data, NULL);
    if (loaded == CYAML_ERR_OOM) {
        return yaml_fail_memory(label, error);
    }
    if (loaded != CYAML_OK) {
        snprintf(error->message, sizeof(error->message), "%s: %s", label, cyaml_strerror(loaded));
        return -EINVAL;
    }
    *out = data;
    return 0;
}

int sl_yaml_load(const char *label, const char *text, size_t size,
                 const struct sl_yaml_schema *schema, void **out, struct sl_yaml_error *error)
{
    int status = check_bytes(label, text, size, error);
    if (status) {
        return status;
    }
    // Numbers are read with strtod, which follows the locale's decimal sign.
    locale_t c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (!c) {
        return yaml_fail_memory(label, error);
    }
    locale_t before = uselocale(c);
    status = walk_and_load(label, text, size, schema, out, error);
    uselocale(before);
    freelocale(c);
    return status;
}

void sl_yaml_free(const struct sl_yaml_schema *schema, void *data)
{
    cyaml_free(&loader, schema->value, data, 0);
}
