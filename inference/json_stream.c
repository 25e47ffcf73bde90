// Reading JSON event by event.
#include "inference/json_stream.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void json_begin(struct json *json, const char *name, FILE *file)
{
    *json = (struct json){.name = name, .file = file, .line = 1};
}

const char *json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {"an end", "an object", "a list",
                                        "a key",  "a string",  "a number",
                                        "a bool", "null",      "the end of the file"};
    return names[kind];
}

static int get(struct json *j)
{
    const int c = getc_unlocked(j->file);
    j->line += c == '\n';
    return c;
}

static void unget(struct json *j, int c)
{
    if (c == EOF)
        return;
    j->line -= c == '\n';
    ungetc(c, j->file);
}

static int get_after_blanks(struct json *j)
{
    int c;
    do
        c = get(j);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r');
    return c;
}

static int unexpected(const struct json *j, int c, const char *expected, struct sl_error *error)
{
    const unsigned long long line = j->line - (c == '\n');
    if (c == EOF && ferror(j->file))
        return sl_error_set(error, -EIO, "%s: cannot be read", j->name);
    if (c == EOF)
        return sl_error_set(error, -EBADMSG, "%s:%llu: expected %s, found the end of the file",
                            j->name, line, expected);
    if (c < 0x20 || c > 0x7e)
        return sl_error_set(error, -EBADMSG, "%s:%llu: expected %s, found byte 0x%02x", j->name,
                            line, expected, (unsigned)c);
    return sl_error_set(error, -EBADMSG, "%s:%llu: expected %s, found '%c'", j->name, line,
                        expected, c);
}

static void put(struct json *j, size_t *length, int c)
{
    if (*length + 1 < JSON_TEXT)
        j->text[(*length)++] = (char)c;
    else
        j->cut = true;
}

static void put_code(struct json *j, size_t *length, uint32_t code)
{
    if (code < 0x80) {
        put(j, length, (int)code);
    } else if (code < 0x800) {
        put(j, length, (int)(0xc0 | code >> 6));
        put(j, length, (int)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        put(j, length, (int)(0xe0 | code >> 12));
        put(j, length, (int)(0x80 | (code >> 6 & 0x3f)));
        put(j, length, (int)(0x80 | (code & 0x3f)));
    } else {
        put(j, length, (int)(0xf0 | code >> 18));
        put(j, length, (int)(0x80 | (code >> 12 & 0x3f)));
        put(j, length, (int)(0x80 | (code >> 6 & 0x3f)));
        put(j, length, (int)(0x80 | (code & 0x3f)));
    }
}

static int four_digits(struct json *j, uint32_t *out, struct sl_error *error)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        const int c = get(j);
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return unexpected(j, c, "a hexadecimal digit", error);
        *out = *out << 4 | (uint32_t)digit;
    }
    return 0;
}

static int unicode(struct json *j, size_t *length, struct sl_error *error)
{
    uint32_t code, low;
    int status = four_digits(j, &code, error);
    if (status == 0 && code >= 0xd800 && code < 0xdc00) {
        if (get(j) != '\\' || get(j) != 'u' || four_digits(j, &low, NULL) != 0 || low < 0xdc00 ||
            low > 0xdfff)
            return sl_error_set(error, -EBADMSG, "%s:%llu: a surrogate \\u%04x without its pair",
                                j->name, (unsigned long long)j->line, code);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (status == 0 && (code == 0 || (code >= 0xdc00 && code < 0xe000))) {
        return sl_error_set(error, -EBADMSG, "%s:%llu: \\u%04x is not a character", j->name,
                            (unsigned long long)j->line, code);
    }
    if (status == 0)
        put_code(j, length, code);
    return status;
}

static int escape(struct json *j, size_t *length, struct sl_error *error)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const int c = get(j);
    if (c == 'u')
        return unicode(j, length, error);
    const char *at = c > 0 ? strchr(from, c) : NULL;
    if (!at)
        return unexpected(j, c, "an escape such as \\n", error);
    put(j, length, to[at - from]);
    return 0;
}

static int read_string(struct json *j, struct sl_error *error)
{
    size_t length = 0;
    int status = 0;
    j->cut = false;
    while (status == 0) {
        const int c = get(j);
        if (c == '"')
            break;
        if (c < 0x20)
            return unexpected(j, c, "the end of a string", error);
        if (c == '\\')
            status = escape(j, &length, error);
        else
            put(j, &length, c);
    }
    j->text[length] = '\0';
    return status;
}

// The grammar's number and nothing that strtod would also take.
static bool is_number(const char *s)
{
    s += *s == '-';
    if (*s == '0')
        s++;
    else if (*s >= '1' && *s <= '9')
        s += strspn(s, "0123456789");
    else
        return false;
    if (*s == '.') {
        const size_t digits = strspn(s + 1, "0123456789");
        if (digits == 0)
            return false;
        s += 1 + digits;
    }
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '+' || s[1] == '-');
        const size_t digits = strspn(s, "0123456789");
        if (digits == 0)
            return false;
        s += digits;
    }
    return *s == '\0';
}

static int read_number(struct json *j, int first, struct sl_error *error)
{
    size_t length = 0;
    int c = first;
    j->cut = false;
    for (; c > 0 && strchr("+-.0123456789eE", c); c = get(j))
        put(j, &length, c);
    unget(j, c);
    j->text[length] = '\0';
    j->number = j->cut || !is_number(j->text) ? NAN : strtod(j->text, NULL);
    if (!isfinite(j->number))
        return sl_error_set(error, -EBADMSG, "%s:%llu: expected a number, found '%.40s'", j->name,
                            (unsigned long long)j->line, j->text);
    return 0;
}

static int read_word(struct json *j, int first, enum json_kind *out, struct sl_error *error)
{
    static const char *const words[] = {"true", "false", "null"};
    for (int i = 0; i < 3; i++) {
        if (first != words[i][0])
            continue;
        for (const char *rest = words[i] + 1; *rest; rest++) {
            const int c = get(j);
            if (c != *rest)
                return unexpected(j, c, words[i], error);
        }
        *out = i < 2 ? JSON_BOOL : JSON_NULL;
        j->number = i == 0;
        return 0;
    }
    return unexpected(j, first, "a value", error);
}

static int enter(struct json *j, bool object, enum json_kind *out, struct sl_error *error)
{
    if (j->depth == JSON_MOST_DEPTH)
        return sl_error_set(error, -EBADMSG, "%s:%llu: more than %d levels", j->name,
                            (unsigned long long)j->line, JSON_MOST_DEPTH);
    j->in_object[j->depth] = object;
    j->first[j->depth++] = true;
    *out = object ? JSON_OBJECT : JSON_ARRAY;
    return 0;
}

static int read_value(struct json *j, int c, enum json_kind *out, struct sl_error *error)
{
    if (c == '{' || c == '[')
        return enter(j, c == '{', out, error);
    if (c == '"') {
        *out = JSON_STRING;
        return read_string(j, error);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        *out = JSON_NUMBER;
        return read_number(j, c, error);
    }
    return read_word(j, c, out, error);
}

static int read_key(struct json *j, int c, enum json_kind *out, struct sl_error *error)
{
    if (c != '"')
        return unexpected(j, c, "a key", error);
    const int status = read_string(j, error);
    if (status < 0)
        return status;
    c = get_after_blanks(j);
    if (c != ':')
        return unexpected(j, c, "':'", error);
    j->after_key = true;
    *out = JSON_KEY;
    return 0;
}

int json_next(struct json *j, enum json_kind *out, struct sl_error *error)
{
    int c = get_after_blanks(j);
    if (j->after_key) {
        j->after_key = false;
        return read_value(j, c, out, error);
    }
    if (j->depth == 0) {
        if (j->finished && c != EOF)
            return unexpected(j, c, "the end of the file", error);
        *out = JSON_FINISH;
        if (j->finished)
            return 0;
        j->finished = true;
        return read_value(j, c, out, error);
    }
    const bool object = j->in_object[j->depth - 1], first = j->first[j->depth - 1];
    if (c == (object ? '}' : ']')) {
        j->depth--;
        *out = JSON_END;
        return 0;
    }
    if (!first && c != ',')
        return unexpected(j, c, object ? "',' or '}'" : "',' or ']'", error);
    if (!first)
        c = get_after_blanks(j);
    j->first[j->depth - 1] = false;
    return object ? read_key(j, c, out, error) : read_value(j, c, out, error);
}

int json_skip(struct json *j, enum json_kind kind, struct sl_error *error)
{
    const int outside = j->depth - 1;
    int status = 0;
    if (kind != JSON_OBJECT && kind != JSON_ARRAY)
        return 0;
    while (status == 0 && j->depth > outside)
        status = json_next(j, &kind, error);
    return status;
}
