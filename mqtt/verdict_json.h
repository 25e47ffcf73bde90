// Writes a verdict as JSON into the caller's buffer: the bodies of `verdict`, `verdict/last` and
// `defect`. mqtt/schema/verdict.json and defect.json say the same for machines.
//
// Nothing is allocated and the locale plays no part. Text is cut at its array's end, escaped, and
// bytes that are not UTF-8 become U+FFFD. Numbers that are not finite become null.
#ifndef SL_MQTT_VERDICT_JSON_H
#define SL_MQTT_VERDICT_JSON_H

#include "mqtt/verdict.h"

#include <stddef.h>

// Enough for any verdict: every byte of text escaped, every number at its widest.
#define SL_VERDICT_JSON_MAX 32768u

// Who speaks: consumers tell repeated messages by (camera, stream, seq).
struct sl_verdict_origin {
    char boot_id[40]; // of the kernel: ts_mono_ns of one boot can be compared
    char stream[24];  // of this run of the publisher, in which seq counts from 1
};

// Return the length written, without the NUL that follows it, or 0 with nothing usable in `out` if
// `size` is too small (or there is no defect `index`).
size_t sl_verdict_json(char *out, size_t size, const struct sl_verdict *verdict,
                       const struct sl_verdict_origin *origin);
size_t sl_defect_json(char *out, size_t size, const struct sl_verdict *verdict,
                      const struct sl_verdict_origin *origin, uint32_t index);

#endif
