// Sparkplug B payloads as bytes, and commands out of bytes.
#include "mqtt/sparkplug/payload.h"

#include "mqtt/sparkplug/sparkplug.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 65536u

struct parts { // what a payload is put together from
    Sparkplug__Payload payload;
    Sparkplug__Metric metrics[SPARKPLUG_METRICS];
    Sparkplug__Metric *pointers[SPARKPLUG_METRICS];
    Sparkplug__PropertySet sets[SPARKPLUG_METRICS];
    Sparkplug__PropertyValue values[SPARKPLUG_METRICS];
    Sparkplug__PropertyValue *value_pointers[SPARKPLUG_METRICS];
    char *keys[SPARKPLUG_METRICS];
};

static char unit_key[] = "engUnit";

// protobuf-c's structures take no constant strings, though it only reads them.
static char *plain(const char *text)
{
    return (char *)(uintptr_t)text;
}

static void set_value(Sparkplug__Metric *m, const struct sparkplug_metric *from)
{
    switch (from->type) {
    case SPARKPLUG_INT64:
    case SPARKPLUG_UINT64:
        m->value_case = SPARKPLUG__METRIC__VALUE_LONG_VALUE;
        m->long_value = from->number;
        return;
    case SPARKPLUG_DOUBLE:
        m->value_case = SPARKPLUG__METRIC__VALUE_DOUBLE_VALUE;
        m->double_value = from->real;
        return;
    case SPARKPLUG_BOOLEAN:
        m->value_case = SPARKPLUG__METRIC__VALUE_BOOLEAN_VALUE;
        m->boolean_value = from->flag;
        return;
    case SPARKPLUG_STRING:
        if (from->text) {
            m->value_case = SPARKPLUG__METRIC__VALUE_STRING_VALUE;
            m->string_value = plain(from->text);
        } else {
            m->has_is_null = m->is_null = true;
        }
        return;
    }
}

static void set_unit(struct parts *p, size_t i, const char *unit)
{
    sparkplug__property_value__init(&p->values[i]);
    p->values[i].has_type = true;
    p->values[i].type = SPARKPLUG_STRING;
    p->values[i].value_case = SPARKPLUG__PROPERTY_VALUE__VALUE_STRING_VALUE;
    p->values[i].string_value = plain(unit);
    p->value_pointers[i] = &p->values[i];
    p->keys[i] = unit_key;
    sparkplug__property_set__init(&p->sets[i]);
    p->sets[i].n_keys = p->sets[i].n_values = 1;
    p->sets[i].keys = &p->keys[i];
    p->sets[i].values = &p->value_pointers[i];
    p->metrics[i].properties = &p->sets[i];
}

static void set_metric(struct parts *p, size_t i, const struct sparkplug_metric *from, bool birth)
{
    Sparkplug__Metric *m = &p->metrics[i];
    sparkplug__metric__init(m);
    m->name = plain(from->name);
    m->has_timestamp = true;
    m->timestamp = from->timestamp_ms;
    m->has_datatype = birth;
    m->datatype = from->type;
    m->has_is_historical = m->is_historical = from->historical;
    set_value(m, from);
    if (birth && from->unit) {
        set_unit(p, i, from->unit);
    }
    p->pointers[i] = m;
}

void *sparkplug_encode(const struct sparkplug_metric *metrics, size_t n, bool birth, int seq,
                       uint64_t timestamp_ms, size_t *size)
{
    struct parts p;
    if (n > SPARKPLUG_METRICS) {
        return NULL;
    }
    sparkplug__payload__init(&p.payload);
    for (size_t i = 0; i < n; i++) {
        set_metric(&p, i, &metrics[i], birth);
    }
    p.payload.n_metrics = n;
    p.payload.metrics = p.pointers;
    p.payload.has_timestamp = true;
    p.payload.timestamp = timestamp_ms;
    p.payload.has_seq = seq >= 0;
    p.payload.seq = seq >= 0 ? (uint64_t)seq : 0;
    *size = sparkplug__payload__get_packed_size(&p.payload);
    void *bytes = malloc(*size + 1);
    if (bytes) {
        sparkplug__payload__pack(&p.payload, bytes);
    }
    return bytes;
}

bool sparkplug_decode_flags(const void *bytes, size_t size,
                            void (*take)(void *ctx, const char *name, bool value), void *ctx)
{
    Sparkplug__Payload *p =
        size <= MAX_BYTES ? sparkplug__payload__unpack(NULL, size, bytes) : NULL;
    if (!p || p->n_metrics > SPARKPLUG_READ) {
        sparkplug__payload__free_unpacked(p, NULL);
        return false;
    }
    for (size_t i = 0; i < p->n_metrics; i++) {
        const Sparkplug__Metric *m = p->metrics[i];
        if (m->name && m->value_case == SPARKPLUG__METRIC__VALUE_BOOLEAN_VALUE && !m->is_null) {
            take(ctx, m->name, m->boolean_value);
        }
    }
    sparkplug__payload__free_unpacked(p, NULL);
    return true;
}
