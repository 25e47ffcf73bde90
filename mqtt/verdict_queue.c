// The verdicts that the broker has not acknowledged yet, in order.
#include "mqtt/verdict_queue.h"

#include <errno.h>
#include <stdlib.h>

struct verdict_slot {
    struct sl_verdict verdict;
    uint32_t sent;    // items handed to the connection
    uint32_t settled; // of these, answered
    uint32_t first;   // items answered without a gap: where to go on after a lost connection
    bool refused;
};

int verdict_queue_init(struct verdict_queue *queue, uint32_t capacity)
{
    *queue = (struct verdict_queue){.capacity = capacity};
    queue->slots = calloc(capacity, sizeof(*queue->slots));
    return queue->slots ? 0 : -ENOMEM;
}

void verdict_queue_clear(struct verdict_queue *queue)
{
    free(queue->slots);
    *queue = (struct verdict_queue){0};
}

uint32_t verdict_queue_length(const struct verdict_queue *queue)
{
    return (uint32_t)(queue->tail - queue->head);
}

static struct verdict_slot *slot_of(const struct verdict_queue *queue, uint64_t number)
{
    return &queue->slots[(number - queue->base) % queue->capacity];
}

static uint32_t items_of(const struct verdict_slot *slot)
{
    return 1 + slot->verdict.n_defects;
}

// Over verdicts of which everything was sent, or answered before an older one was.
static void skip_sent(struct verdict_queue *queue)
{
    while (queue->next < queue->tail) {
        const struct verdict_slot *slot = slot_of(queue, queue->next);
        if (slot->sent < items_of(slot)) {
            break;
        }
        queue->next++;
    }
}

static void drop_head(struct verdict_queue *queue)
{
    queue->head++;
    if (queue->next < queue->head) {
        queue->next = queue->head;
        skip_sent(queue);
    }
}

bool verdict_queue_push(struct verdict_queue *queue, const struct sl_verdict *verdict)
{
    bool full = verdict_queue_length(queue) == queue->capacity;
    if (full) {
        drop_head(queue);
    }
    if (queue->head == queue->tail) {
        queue->base = queue->tail; // an empty queue starts over: only what is used gets touched
    }
    struct verdict_slot *slot = slot_of(queue, queue->tail++);
    *slot = (struct verdict_slot){.verdict = *verdict};
    if (slot->verdict.n_defects > SL_VERDICT_MAX_DEFECTS) {
        slot->verdict.n_defects = SL_VERDICT_MAX_DEFECTS;
    }
    return full;
}

bool verdict_queue_peek(const struct verdict_queue *queue, uint64_t *number, uint32_t *item,
                        const struct sl_verdict **verdict)
{
    if (queue->next == queue->tail) {
        return false;
    }
    const struct verdict_slot *slot = slot_of(queue, queue->next);
    *number = queue->next;
    *item = slot->sent;
    *verdict = &slot->verdict;
    return true;
}

void verdict_queue_sent(struct verdict_queue *queue, uint64_t number, uint32_t item)
{
    if (number != queue->next || number == queue->tail) {
        return;
    }
    struct verdict_slot *slot = slot_of(queue, number);
    slot->sent = item + 1;
    skip_sent(queue);
}

struct verdict_left verdict_queue_settle(struct verdict_queue *queue, uint64_t number,
                                         uint32_t item, bool refused)
{
    struct verdict_left left = {0};
    if (number < queue->head || number >= queue->tail) {
        return left;
    }
    struct verdict_slot *slot = slot_of(queue, number);
    slot->settled++;
    slot->first += item == slot->first;
    slot->refused = slot->refused || (refused && item == 0);
    while (queue->head < queue->tail) {
        slot = slot_of(queue, queue->head);
        if (slot->settled < items_of(slot)) {
            break;
        }
        left.refused += slot->refused;
        left.acknowledged += !slot->refused;
        drop_head(queue);
    }
    return left;
}

void verdict_queue_rewind(struct verdict_queue *queue)
{
    for (uint64_t n = queue->head; n < queue->tail; n++) {
        struct verdict_slot *slot = slot_of(queue, n);
        slot->sent = slot->settled = slot->first;
    }
    queue->next = queue->head;
    skip_sent(queue);
}
