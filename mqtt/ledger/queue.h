// Inside of mqtt/ledger: verdicts between the caller and the disk, in a ring that outlives the
// process.
//
// The ring lies in a file in memory (below $RUNTIME_DIRECTORY, as a service manager gives it, or
// /dev/shm): writing it never waits for a disk, and what a killed process leaves in it is taken up
// by the next one, under the numbers that were given out. A power cut takes it; nothing of it was
// published then. Where no such file can be made, the ring is ordinary memory.
//
// Not locked. The caller lets one process at a time in (the ledger's folder has a lock).
#ifndef SL_MQTT_LEDGER_QUEUE_H
#define SL_MQTT_LEDGER_QUEUE_H

#include "mqtt/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct queue_ring; // the file

struct queue {
    struct queue_ring *ring;
    size_t size; // of the mapping
    uint32_t capacity;
    char *path;          // NULL: ordinary memory
    uint64_t head, tail; // counted from the beginning of time; head: the oldest
};

// `owner` names the ledger: the same name, the same ring. What is left there is in the queue
// afterwards, its newest `capacity` verdicts. 0, or -ENOMEM.
int queue_open(struct queue *queue, const char *owner, uint32_t capacity);
void queue_close(struct queue *queue); // an empty one leaves no file

static inline uint64_t queue_length(const struct queue *queue)
{
    return queue->tail - queue->head;
}

// Position `at` is between head and tail.
const struct sl_verdict *queue_at(const struct queue *queue, uint64_t at);
// A full queue loses its oldest: false then. Killed at any point, the ring holds the verdict or
// not.
bool queue_push(struct queue *queue, const struct sl_verdict *verdict, uint64_t seq);
void queue_forget(struct queue *queue, uint64_t head); // all before that position

#endif
