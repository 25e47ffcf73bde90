// Values of options of `sightline bundle`.
#include "ota/bundle/tool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tool_fail(const char *format, ...)
{
    va_list list;
    fprintf(stderr, "sightline bundle: ");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return 1;
}

void tool_add(struct tool_list *list, const char *text, struct argp_state *state)
{
    if (list->count == SL_TOOL_LIST)
        argp_error(state, "an option is given more than %d times", SL_TOOL_LIST);
    list->at[list->count++] = text;
}

// Digits only, so that strtoull's signs and spaces are out.
static bool whole_number(const char *text, size_t length, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        const uint64_t digit = (uint64_t)(text[i] - '0');
        if (text[i] < '0' || text[i] > '9' || value > (most - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return length > 0;
}

struct sl_bundle_number tool_number(const char *text, struct argp_state *state)
{
    uint64_t epoch = 0, seq = 0;
    const size_t length = strcspn(text, ".");
    if (text[length] != '.' || !whole_number(text, length, UINT32_MAX, &epoch) ||
        !whole_number(text + length + 1, strlen(text + length + 1), UINT64_MAX, &seq))
        argp_error(state, "expected EPOCH.SEQ, two whole numbers; found '%s'", text);
    return (struct sl_bundle_number){(uint32_t)epoch, seq};
}

uint32_t tool_u32(const char *option, const char *text, uint32_t most, struct argp_state *state)
{
    uint64_t value = 0;
    if (!whole_number(text, strlen(text), most, &value))
        argp_error(state, "--%s: expected a whole number up to %u, found '%s'", option, most, text);
    return (uint32_t)value;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void tool_id(const char *text, uint8_t *id, struct argp_state *state)
{
    bool good = strlen(text) == 2 * SL_HASH;
    for (int i = 0; good && i < SL_HASH; i++) {
        const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        good = high >= 0 && low >= 0;
        id[i] = (uint8_t)(high * 16 + low);
    }
    if (!good)
        argp_error(state, "expected a bundle id, %d hexadecimal digits; found '%s'", 2 * SL_HASH,
                   text);
}

void tool_text(const char *option, const char *text, char *out, size_t size,
               struct argp_state *state)
{
    struct sl_octets octets = {(const uint8_t *)text, strlen(text)};
    if (!sl_take_whole_text(&octets, out, size))
        argp_error(state, "--%s: expected up to %zu letters, digits and ._+-; found '%s'", option,
                   size - 1, text);
}

struct sl_tensor_abi tool_tensor(const char *text, struct argp_state *state)
{
    struct sl_tensor_abi t = {0};
    if (!sl_tensor_parse(text, &t))
        argp_error(state,
                   "--tensor: expected TYPE:LAYOUT:DIMS as float32:nchw:1x2x640x640; found '%s'",
                   text);
    return t;
}

void tool_hex(const uint8_t *octets, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        sprintf(out + 2 * i, "%02x", octets[i]);
    out[2 * size] = '\0';
}
