// Names and messages of refusals.
#include "ota/bundle/refusal.h"

#include <stdarg.h>
#include <stdio.h>

enum sl_refusal sl_refuse(struct sl_bundle_error *error, enum sl_refusal refusal,
                          const char *format, ...)
{
    va_list list;
    if (!error)
        return refusal;
    error->refusal = refusal;
    va_start(list, format);
    vsnprintf(error->message, sizeof(error->message), format, list);
    va_end(list);
    return refusal;
}

const char *sl_refusal_name(enum sl_refusal refusal)
{
    static const char *const names[SL_N_REFUSALS] = {
        "accepted", "read",      "truncated", "oversized", "format",  "checksum", "padding",
        "root",     "signature", "threshold", "hash",      "product", "hardware", "tensor",
        "old",      "denied",    "camera",    "memory",    "key",
    };
    return (unsigned)refusal < SL_N_REFUSALS ? names[refusal] : "unknown";
}
