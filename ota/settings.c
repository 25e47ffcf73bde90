// The schema of ota.yaml.
#include "ota/settings.h"

#include "ota/broker/packet.h"
#include "ota/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT     (CYAML_FLAG_POINTER)
#define OPTIONAL (CYAML_FLAG_OPTIONAL)
#define PATH(key, member, flags)                                                                   \
    CYAML_FIELD_STRING_PTR(key, TEXT | (flags), struct sl_settings, member, 1, 4095)

enum { FILE_MAX = 64 << 10, SELF_TEST_S = 120, SHADOW_S = 3600, PROBATION_S = 86400, IDLE_S = 60 };
enum { PORT = 1883, PORT_TLS = 8883, KEEPALIVE_S = 15 };

static const cyaml_strval_t gates[] = {{"at-once", SL_GATE_AT_ONCE},
                                       {"on-demand", SL_GATE_ON_DEMAND},
                                       {"line-idle", SL_GATE_LINE_IDLE},
                                       {"order", SL_GATE_ORDER}};

#define BROKER(key, flags, max)                                                                    \
    CYAML_FIELD_STRING_PTR(#key, TEXT | (flags), struct sl_config_broker, key, 1, max)

static const cyaml_schema_field_t broker_fields[] = {
    BROKER(host, 0, 255),
    CYAML_FIELD_UINT("port", OPTIONAL, struct sl_config_broker, port),
    BROKER(username, OPTIONAL, 255),
    BROKER(password_file, OPTIONAL, 4095),
    BROKER(ca_file, OPTIONAL, 4095),
    BROKER(certificate_file, OPTIONAL, 4095),
    BROKER(key_file, OPTIONAL, 4095),
    CYAML_FIELD_STRING_PTR("topics", TEXT | OPTIONAL, struct sl_config_broker, root, 1,
                           SL_PACKET_ROOT_MAX),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_UINT("schema", CYAML_FLAG_DEFAULT, struct sl_settings, schema),
    PATH("storage", storage, OPTIONAL),
    PATH("control", control, OPTIONAL),
    PATH("agent", agent, OPTIONAL),
    PATH("stick", stick, OPTIONAL),
    PATH("audit", audit, OPTIONAL),
    PATH("product", product, OPTIONAL),
    PATH("hardware", hardware, OPTIONAL),
    PATH("tensor", tensor, OPTIONAL),
    PATH("root", root, OPTIONAL),
    PATH("device_key", device_key, OPTIONAL),
    PATH("must_detect", must_detect, OPTIONAL),
    PATH("self_test", self_test, OPTIONAL),
    PATH("camera", camera, OPTIONAL),
    CYAML_FIELD_MAPPING_PTR("broker", TEXT | OPTIONAL, struct sl_settings, broker, broker_fields),
    CYAML_FIELD_ENUM("gate", CYAML_FLAG_STRICT | OPTIONAL, struct sl_settings, gate, gates,
                     sizeof(gates) / sizeof(gates[0])),
    CYAML_FIELD_UINT("idle_s", OPTIONAL, struct sl_settings, idle_s),
    CYAML_FIELD_UINT("self_test_s", OPTIONAL, struct sl_settings, self_test_s),
    CYAML_FIELD_UINT("shadow_s", OPTIONAL, struct sl_settings, shadow_s),
    CYAML_FIELD_UINT("probation_s", OPTIONAL, struct sl_settings, probation_s),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t value = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct sl_settings, fields)};
static const struct sl_yaml_range ranges[] = {
    {"schema", 1, 1},
    {"broker.port", 1, 65535},
    {"self_test_s", 1, 3600},
    {"shadow_s", 1, 604800},
    {"probation_s", 1, 604800},
    {"idle_s", 1, 86400},
    {NULL, 0, 0},
};
static const struct sl_yaml_schema schema = {&value, ranges};

static int fill(char **text, const char *standard)
{
    if (!*text)
        *text = strdup(standard);
    return *text ? 0 : -ENOMEM;
}

static int fill_broker(struct sl_config_broker *b)
{
    if (!b)
        return 0;
    if (b->port == 0)
        b->port = b->ca_file ? PORT_TLS : PORT;
    b->keepalive_s = KEEPALIVE_S;
    return fill(&b->root, SL_PACKET_ROOT);
}

static int fill_all(struct sl_settings *s)
{
    s->idle_s = s->idle_s ? s->idle_s : IDLE_S;
    s->self_test_s = s->self_test_s ? s->self_test_s : SELF_TEST_S;
    s->shadow_s = s->shadow_s ? s->shadow_s : SHADOW_S;
    s->probation_s = s->probation_s ? s->probation_s : PROBATION_S;
    return fill_broker(s->broker) || fill(&s->storage, "/dev/disk/by-partlabel") ||
                   fill(&s->control, SL_CONTROL_SOCKET) ||
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
    const struct sl_settings *found = loaded;
    if (found->broker && !found->camera) {
        snprintf(error->message, sizeof(error->message),
                 "%s: broker: expected `camera` beside it, the name in which bundles are asked for",
                 path);
        sl_settings_free(loaded);
        return -EINVAL;
    }
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
