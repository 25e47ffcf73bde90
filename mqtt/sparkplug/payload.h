// Inside of mqtt/sparkplug: Sparkplug B payloads as bytes, and commands out of bytes.
#ifndef SL_MQTT_SPARKPLUG_PAYLOAD_H
#define SL_MQTT_SPARKPLUG_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPARKPLUG_METRICS 16u  // most of one payload of ours
#define SPARKPLUG_READ    256u // most of one that is read

enum sparkplug_type { // of the specification's DataType
    SPARKPLUG_INT64 = 4,
    SPARKPLUG_UINT64 = 8,
    SPARKPLUG_DOUBLE = 10,
    SPARKPLUG_BOOLEAN = 11,
    SPARKPLUG_STRING = 12,
};

struct sparkplug_metric {
    const char *name;
    enum sparkplug_type type;
    uint64_t timestamp_ms;
    const char *unit; // property engUnit; NULL: none
    bool historical;
    uint64_t number;  // INT64, UINT64
    double real;      // DOUBLE
    bool flag;        // BOOLEAN
    const char *text; // STRING; NULL: is_null
};

// Bytes to be freed with free(); NULL for want of memory. `seq` below 0: none. `birth`: with types
// and units, which data leave out.
void *sparkplug_encode(const struct sparkplug_metric *metrics, size_t n, bool birth, int seq,
                       uint64_t timestamp_ms, size_t *size);

// Of a payload from anybody: calls `take` for every boolean metric with a value, in order. False if
// the bytes are no payload, or one with more than SPARKPLUG_READ metrics; nothing is called then.
bool sparkplug_decode_flags(const void *bytes, size_t size,
                            void (*take)(void *ctx, const char *name, bool value), void *ctx);

#endif
