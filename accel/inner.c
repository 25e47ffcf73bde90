// Configuration strings: taking them apart, and opening what they name.
#include "accel/inner.h"

#include "accel/registry.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct config {
    size_t name_length;
    char device[SL_CONFIG_MAX];
    const char *options;
};

static int parse(const char *text, struct config *out, struct sl_error *error)
{
    if (!text || !*text)
        return sl_error_set(error, -EINVAL,
                            "accelerator: empty, expected BACKEND[:DEVICE][,KEY=VALUE…]");
    if (strlen(text) >= SL_CONFIG_MAX)
        return sl_error_set(error, -EINVAL, "accelerator: '%.20s…' has %zu characters, at most %d",
                            text, strlen(text), SL_CONFIG_MAX - 1);
    size_t head = strcspn(text, ",");
    out->name_length = strcspn(text, ":,");
    if (text[head] && !text[head + 1])
        return sl_error_set(error, -EINVAL, "accelerator '%s': no options behind the comma", text);
    out->options = text[head] ? text + head + 1 : "";
    out->device[0] = '\0';
    if (out->name_length == head)
        return 0;
    size_t length = head - out->name_length - 1;
    if (length == 0)
        return sl_error_set(error, -EINVAL,
                            "accelerator '%s': the device has 0 characters, expected at least 1",
                            text);
    memcpy(out->device, text + out->name_length + 1, length);
    out->device[length] = '\0';
    return 0;
}

static int find(const char *text, struct config *parsed, const struct sl_backend **out,
                struct sl_error *error)
{
    int status = parse(text, parsed, error);
    if (status)
        return status;
    const struct sl_backend *backend = sl_registry_find(text, parsed->name_length);
    if (!backend) {
        char names[256];
        sl_registry_names(names, sizeof(names));
        return sl_error_set(error, -ENOENT, "accelerator '%s': no back end '%.*s', there are: %s",
                            text, (int)parsed->name_length, text, names);
    }
    *out = backend;
    return 0;
}

int sl_inner_find(const char *config, const struct sl_backend **out, struct sl_error *error)
{
    struct config parsed;
    return find(config, &parsed, out, error);
}

int sl_inner_open(const struct sl_host *host, const char *config, struct sl_inner *out,
                  struct sl_error *error)
{
    struct config parsed;
    const struct sl_backend *backend = NULL;
    void *device;
    int status = find(config, &parsed, &backend, error);
    if (status)
        return status;
    status =
        backend->open(host, parsed.device[0] ? parsed.device : "0", parsed.options, &device, error);
    if (status)
        return sl_error_prefix(error, status, "accelerator '%s'", config);
    *out = (struct sl_inner){backend, device};
    return 0;
}

// Appends `text` behind a `separator`, if it fits.
static bool append(char *inner, char separator, const char *text)
{
    size_t used = strlen(inner), more = strlen(text);
    if (more >= SL_CONFIG_MAX - 1 || used >= SL_CONFIG_MAX - 1 - more)
        return false;
    inner[used] = separator;
    strcpy(inner + used + 1, text);
    return true;
}

static int take(const char *prefix, char *option, sl_wrapper_option set, void *ctx, char *inner,
                struct sl_error *error)
{
    size_t length = strlen(prefix);
    if (strncmp(option, prefix, length) != 0)
        return append(inner, ',', option) ? 0 : sl_error_set(error, -EINVAL, "options: too long");
    char *equals = strchr(option, '=');
    if (!equals)
        return sl_error_set(error, -EINVAL, "option '%s': expected KEY=VALUE", option);
    *equals = '\0';
    return set(ctx, option + length, equals + 1, error);
}

int sl_wrapper_split(const char *prefix, const char *device, const char *options,
                     sl_wrapper_option set, void *ctx, char *inner, struct sl_error *error)
{
    char copy[SL_CONFIG_MAX];
    if (strlen(device) >= SL_CONFIG_MAX || strlen(options) >= SL_CONFIG_MAX)
        return sl_error_set(error, -EINVAL, "more than %d characters", SL_CONFIG_MAX - 1);
    if (strcmp(device, "0") == 0)
        return sl_error_set(error, -EINVAL, "nothing to wrap, expected %.*s:BACKEND",
                            (int)strlen(prefix) - 1, prefix);
    strcpy(inner, device);
    strcpy(copy, options);
    char *rest = copy, *option;
    while (*options && (option = strsep(&rest, ","))) {
        int status = take(prefix, option, set, ctx, inner, error);
        if (status)
            return status;
    }
    return 0;
}

int sl_option_number(const char *key, const char *value, uint64_t low, uint64_t high, uint64_t *out,
                     struct sl_error *error)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || errno || number < low || number > high)
        return sl_error_set(error, -EINVAL, "option %s: expected %llu to %llu, found '%s'", key,
                            (unsigned long long)low, (unsigned long long)high, value);
    *out = number;
    return 0;
}
