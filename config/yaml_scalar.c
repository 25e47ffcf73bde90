// Scalars of a YAML file against their schema: numbers, truth values, names, text.
#include "config/yaml_walk.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bounds {
    double low, high; // infinite where there is none
};

static struct bounds declared_bounds(const struct yaml_walk *walk)
{
    for (const struct sl_yaml_range *r = walk->ranges; r && r->path; r++) {
        if (strcmp(r->path, walk->pattern) == 0) {
            return (struct bounds){r->min, r->max};
        }
    }
    return (struct bounds){-INFINITY, INFINITY};
}

// What a member of `bytes` bytes can hold. The bounds of 64-bit members are rounded inwards, which
// costs nothing: strtoll and strtoull check those exactly.
static struct bounds member_bounds(const cyaml_schema_value_t *schema)
{
    int bits = (int)schema->data_size * 8;
    if (schema->type == CYAML_UINT) {
        return (struct bounds){0, bits < 64 ? ldexp(1, bits) - 1 : (double)UINT64_MAX};
    }
    return (struct bounds){-ldexp(1, bits - 1), bits < 64 ? ldexp(1, bits - 1) - 1 : 0x1p63};
}

static struct bounds whole_bounds(const struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    struct bounds wanted = declared_bounds(walk), fits = member_bounds(schema);
    return (struct bounds){fmax(wanted.low, fits.low), fmin(wanted.high, fits.high)};
}

// " from 1 to 10", " of at least 1", …
static void describe_bounds(struct bounds b, char *out, size_t size)
{
    if (isfinite(b.low) && isfinite(b.high)) {
        snprintf(out, size, " from %.15g to %.15g", b.low, b.high);
    } else if (isfinite(b.low)) {
        snprintf(out, size, " of at least %.15g", b.low);
    } else if (isfinite(b.high)) {
        snprintf(out, size, " of at most %.15g", b.high);
    } else {
        out[0] = '\0';
    }
}

static void expected_names(const cyaml_schema_value_t *schema, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "one of");
    for (uint32_t i = 0; i < schema->enumeration.count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s %s", i ? "," : "",
                                 schema->enumeration.strings[i].str);
    }
}

static void expected_list(const cyaml_schema_value_t *schema, char *out, size_t size)
{
    uint32_t min = schema->sequence.min, max = schema->sequence.max;
    if (min == max) {
        snprintf(out, size, "a list of %u", min);
    } else if (max != CYAML_UNLIMITED) {
        snprintf(out, size, "a list of %u to %u", min, max);
    } else if (min > 0) {
        snprintf(out, size, "a list of at least %u", min);
    } else {
        snprintf(out, size, "a list");
    }
}

static void expected_text(const struct yaml_walk *walk, const cyaml_schema_value_t *schema,
                          char *out, size_t size)
{
    struct bounds b = declared_bounds(walk);
    b.low = fmax(b.low, schema->string.min);
    b.high =
        fmin(b.high, schema->string.max == CYAML_UNLIMITED ? INFINITY : (double)schema->string.max);
    if (isinf(b.high)) {
        snprintf(out, size, b.low > 0 ? "text that is not empty" : "text");
    } else if (b.low > 0) {
        snprintf(out, size, "text of %.15g to %.15g bytes", b.low, b.high);
    } else {
        snprintf(out, size, "text of at most %.15g bytes", b.high);
    }
}

void yaml_expected(const struct yaml_walk *walk, const cyaml_schema_value_t *schema, char *out,
                   size_t size)
{
    char limits[64] = "";
    switch (schema->type) {
    case CYAML_INT:
    case CYAML_UINT: {
        struct bounds b = declared_bounds(walk);
        describe_bounds(isinf(b.low) && isinf(b.high) ? whole_bounds(walk, schema) : b, limits,
                        sizeof(limits));
        snprintf(out, size, "a whole number%s", limits);
        break;
    }
    case CYAML_FLOAT:
        describe_bounds(declared_bounds(walk), limits, sizeof(limits));
        snprintf(out, size, "a number%s", limits);
        break;
    case CYAML_BOOL:
        snprintf(out, size, "true or false");
        break;
    case CYAML_ENUM:
        expected_names(schema, out, size);
        break;
    case CYAML_STRING:
        expected_text(walk, schema, out, size);
        break;
    case CYAML_SEQUENCE:
    case CYAML_SEQUENCE_FIXED:
        expected_list(schema, out, size);
        break;
    default:
        snprintf(out, size, "a mapping");
        break;
    }
}

static size_t skip_digits(const char *s)
{
    return strspn(s, "0123456789");
}

// [-+]digits without a leading zero, which other readers take for octal.
static bool is_whole(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t n = skip_digits(s);
    return n > 0 && s[n] == '\0' && (n == 1 || s[0] != '0');
}

// [-+]digits[.digits][e[-+]digits]: no hexadecimal, no infinity, no NaN.
static bool is_decimal(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t whole = skip_digits(s), fraction = 0;
    s += whole;
    if (*s == '.') {
        s++;
        fraction = skip_digits(s);
        s += fraction;
    }
    if (whole + fraction == 0) {
        return false;
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t exponent = skip_digits(s);
        return exponent > 0 && s[exponent] == '\0';
    }
    return *s == '\0';
}

static bool check_whole(const struct yaml_walk *walk, const cyaml_schema_value_t *schema,
                        const char *text)
{
    if (!is_whole(text)) {
        return false;
    }
    errno = 0;
    double value = 0;
    if (schema->type == CYAML_INT) {
        value = (double)strtoll(text, NULL, 10);
    } else if (text[0] != '-') {
        value = (double)strtoull(text, NULL, 10);
    } else {
        return false;
    }
    struct bounds b = whole_bounds(walk, schema);
    return errno == 0 && value >= b.low && value <= b.high;
}

static bool check_decimal(const struct yaml_walk *walk, const cyaml_schema_value_t *schema,
                          const char *text)
{
    if (!is_decimal(text)) {
        return false;
    }
    errno = 0;
    double value =
        schema->data_size == sizeof(float) ? (double)strtof(text, NULL) : strtod(text, NULL);
    struct bounds b = declared_bounds(walk);
    return isfinite(value) && errno == 0 && value >= b.low && value <= b.high;
}

static bool check_name(const cyaml_schema_value_t *schema, const char *text)
{
    for (uint32_t i = 0; i < schema->enumeration.count; i++) {
        if (strcmp(schema->enumeration.strings[i].str, text) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_text(const struct yaml_walk *walk, const cyaml_schema_value_t *schema,
                       size_t length)
{
    struct bounds b = declared_bounds(walk);
    double n = (double)length;
    return length >= schema->string.min && length <= schema->string.max && n >= b.low &&
           n <= b.high;
}

int yaml_check_scalar(struct yaml_walk *walk, const cyaml_schema_value_t *schema)
{
    const yaml_event_t *event = &walk->event;
    if (event->type != YAML_SCALAR_EVENT || yaml_is_null(event)) {
        return yaml_fail_type(walk, schema);
    }
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (memchr(text, '\0', length)) {
        return yaml_fail(walk, event->start_mark.line, "a NUL character is not allowed");
    }
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    bool good = false;
    switch (schema->type) {
    case CYAML_INT:
    case CYAML_UINT:
        good = plain && check_whole(walk, schema, text);
        break;
    case CYAML_FLOAT:
        good = plain && check_decimal(walk, schema, text);
        break;
    case CYAML_BOOL:
        good = plain && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
        break;
    case CYAML_ENUM:
        good = check_name(schema, text);
        break;
    default:
        good = check_text(walk, schema, length);
        break;
    }
    return good ? 0 : yaml_fail_type(walk, schema);
}
