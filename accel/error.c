// The error type: messages of a bounded length that never end inside a UTF-8 character.
#include "accel/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void cut_at_character(char *text)
{
    size_t end = strlen(text);
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end == 0 || (unsigned char)text[end - 1] < 0xC0)
        return;
    unsigned char lead = (unsigned char)text[end - 1];
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (strlen(text + end - 1) < length)
        text[end - 1] = '\0';
}

int sl_error_set(struct sl_error *error, int status, const char *format, ...)
{
    if (!error)
        return status;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(error->message, SL_ERROR_MAX, format, args);
    va_end(args);
    if (length < 0)
        snprintf(error->message, SL_ERROR_MAX, "%s", strerror(-status));
    else if (length >= SL_ERROR_MAX)
        cut_at_character(error->message);
    return status;
}

int sl_error_prefix(struct sl_error *error, int status, const char *format, ...)
{
    if (!error)
        return status;
    char old[SL_ERROR_MAX];
    memcpy(old, error->message, SL_ERROR_MAX);
    old[SL_ERROR_MAX - 1] = '\0';

    va_list args;
    va_start(args, format);
    int length = vsnprintf(error->message, SL_ERROR_MAX, format, args);
    va_end(args);
    if (length < 0) {
        memcpy(error->message, old, SL_ERROR_MAX);
        return status;
    }
    size_t used = strlen(error->message);
    snprintf(error->message + used, SL_ERROR_MAX - used, ": %s", old);
    cut_at_character(error->message);
    return status;
}

int sl_text_length(const char *text, size_t most)
{
    size_t n = strnlen(text, most + 1);
    if (n > most)
        for (n = most; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;)
            n--;
    return (int)n;
}
