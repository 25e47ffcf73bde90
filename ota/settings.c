// The schema of ota.yaml.
#include "ota/settings.h"

#include "ota/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT     (CYAML_FLAG_POINTER)
#define OPTIONAL (CYAML_FLAG_OPTIONAL)
#define PATH(key, member, flags)                                                                   \
    CYAML_FIELD_STRING_PTR(key, TEXT | (flags), struct sl_settings, member, 1, 4095)

enum { FILE_MAX = 64 << 10, SELF_TEST_S = 120, SHADOW_S = 3600, PROBATION_S = 86400 };

static const cyaml_strval_t gates[] = {{"at-once", SL_GATE_AT_ONCE},
                                       {"on-demand", SL_GATE_ON_DEMAND}};

static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_UINT("schema", CYAML_FLAG_DEFAULT, struct sl_settings, schema),
    PATH("storage", storage, OPTIONAL),
    PATH("control", control, OPTIONAL),
    PATH("agent", agent, OPTIONAL),
    PATH("stick", stick, OPTIONAL),
    PATH("audit", audit, OPTIONAL),
    PATH("product", product, OPTIONAL),
    PATH("hardware", hardware, OPTIONAL),
    PATH("root", root, OPTIONAL),
    PATH("must_detect", must_detect, OPTIONAL),
    PATH("self_test", self_test, OPTIONAL),
    CYAML_FIELD_ENUM("gate", CYAML_FLAG_STRICT | OPTIONAL, struct sl_settings, gate, gates, 2),
    CYAML_FIELD_UINT("self_test_s", OPTIONAL, struct sl_settings, self_test_s),
    CYAML_FIELD_UINT("shadow_s", OPTIONAL, struct sl_settings, shadow_s),
    CYAML_FIELD_UINT("probation_s", OPTIONAL, struct sl_settings, probation_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sl_settings, fields)};
static const struct sl_yaml_range ranges[] = {
    {"schema", 1, 1},
    {"self_test_s", 1, 3600},
    {"shadow_s", 1, 604800},
    {"probation_s", 1, 604800},
    {NULL, 0, 0},
};
static const struct sl_yaml_schema schema = {&value, ranges};

static int fill(char **text, const char *standard)
{
    if (!*text)
        *text = strdup(standard);
    return *text ? 0 : -ENOMEM;
}

static int fill_all(struct sl_settings *s)
{
    s->self_test_s = s->self_test_s ? s->self_test_s : SELF_TEST_S;
    s->shadow_s = s->shadow_s ? s->shadow_s : SHADOW_S;
    s->probation_s = s->probation_s ? s->probation_s : PROBATION_S;
    return fill(&s->storage, "/dev/disk/by-partlabel") || fill(&s->control, SL_CONTROL_SOCKET) ||
                   fill(&s->agent, "/run/sightline-otad/agent.sock") ||
                   fill(&s->stick, "/run/sightline-otad/stick.sock") ||
                   fill(&s->audit, "/var/lib/sightline-ota/audit") ||
                   fill(&s->self_test, SIGHTLINE_LIBEXEC "/sightline-selftest")
               ? -ENOMEM
               : 0;
}

static int read_text(const char *path, char *text, size_t *size, struct sl_yaml_error *error)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        const int code = errno;
        snprintf(error->message, sizeof(error->message), "%s: %s", path, strerror(code));
        return -code;
    }
    *size = fread(text, 1, FILE_MAX, file);
    const int failed = ferror(file) || !feof(file);
    fclose(file);
    if (!failed)
        return 0;
    snprintf(error->message, sizeof(error->message), "%s: expected a file of less than %d octets",
             path, FILE_MAX);
    return -EFBIG;
}

int sl_settings_load(const char *path, struct sl_settings **out, struct sl_yaml_error *error)
{
    static char text[FILE_MAX];
    size_t size = 0;
    void *loaded = NULL;
    int status = read_text(path, text, &size, error);
    if (status == 0)
        status = sl_yaml_load(path, text, size, &schema, &loaded, error);
    if (status < 0)
        return status;
    status = fill_all(loaded);
    if (status < 0) {
        snprintf(error->message, sizeof(error->message), "%s: out of memory", path);
        sl_settings_free(loaded);
        return status;
    }
    *out = loaded;
    return 0;
}

void sl_settings_free(struct sl_settings *settings)
{
    if (settings)
        sl_yaml_free(&schema, settings);
}
