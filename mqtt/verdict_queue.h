// Inside of mqtt/: the verdicts that the broker has not acknowledged yet, in order. Not locked.
//
// A verdict is sent in items: item 0 is the verdict, item 1 + i its defect i. It leaves when every
// item is settled, or as the oldest when a new one finds no room.
#ifndef SL_MQTT_VERDICT_QUEUE_H
#define SL_MQTT_VERDICT_QUEUE_H

#include "mqtt/verdict.h"

#include <stddef.h>

struct verdict_slot;

struct verdict_queue {
    struct verdict_slot *slots;
    uint32_t capacity;
    uint64_t base;             // a number whose slot is slots[0]
    uint64_t head, next, tail; // oldest; first with items to send; one past the newest
};

struct verdict_left { // verdicts that left
    uint32_t acknowledged, refused;
};

int verdict_queue_init(struct verdict_queue *queue, uint32_t capacity); // 0 or -ENOMEM
void verdict_queue_clear(struct verdict_queue *queue);
uint32_t verdict_queue_length(const struct verdict_queue *queue);

// Copies; true if the oldest had to go.
bool verdict_queue_push(struct verdict_queue *queue, const struct sl_verdict *verdict);

// The next item to send; false if there is none.
bool verdict_queue_peek(const struct verdict_queue *queue, uint64_t *number, uint32_t *item,
                        const struct sl_verdict **verdict);
// That item is on its way. A verdict that was dropped in the meantime is none of its business.
void verdict_queue_sent(struct verdict_queue *queue, uint64_t number, uint32_t item);
struct verdict_left verdict_queue_settle(struct verdict_queue *queue, uint64_t number,
                                         uint32_t item, bool refused);
// The connection is gone: what was sent and not settled is to be sent again.
void verdict_queue_rewind(struct verdict_queue *queue);

#endif
