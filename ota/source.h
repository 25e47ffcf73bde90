// Where bundles come from: a stick, the plant's broker. A source tells of a bundle by its head (all
// octets before the payload), is told which chunks are wanted, and delivers them in any order.
//
//     source                                   agent
//     offer(head) ───────────────────────────▶ verifies it, asks its state machine
//     ◀──────────────────────────── want(id, n, have)
//     chunk(index) ──────────────────────────▶ hashes it, writes it into the slot, sets its bit
//     …
//     ended(reason) ─────────────────────────▶ tries again later, from here or from elsewhere
//
// All of it is one thread: the agent's loop collects descriptors and due times with `poll`, waits,
// and calls `step`; sources call the sink from inside `step` only. Nothing a source says is
// believed: head and chunks are checked by the agent, which alone knows what is in the slot. So a
// source keeps no bitmap of its own, and after a power cut a fetch goes on where it was.
#ifndef SL_OTA_SOURCE_H
#define SL_OTA_SOURCE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_SOURCE_FDS  8  // most descriptors of one source
#define SL_SOURCE_ID   32 // a bundle id
#define SL_SOURCE_IDLE INT64_MAX

struct sl_source;

// The agent's side, the same for all sources. Octets belong to the caller and are used during the
// call only. Any of them may call `want` of the source before it returns.
struct sl_source_sink {
    void *context;

    // Here is a bundle. It may be offered again at any time; whether anything is wanted of it is
    // said with `want`, perhaps much later. At most SL_HEAD_MAX octets (ota/bundle/format.h).
    void (*offer)(void *context, struct sl_source *source, const uint8_t *head, size_t size);

    // A signed catalog or order, as its prefix tells; at most SL_DOCUMENT_MAX octets.
    void (*document)(void *context, struct sl_source *source, const uint8_t *octets, size_t size);

    // Chunk `index` of what is wanted. 0: it is in the slot now, or was already. -EBADMSG: not what
    // was signed, nothing was written; -EINVAL: no such chunk, or of another size; -ENOENT: nothing
    // of this bundle is wanted (any more); otherwise the slot's errno, and `want` has been taken
    // back. After the last chunk `want` is taken back too.
    int (*chunk)(void *context, struct sl_source *source, const uint8_t id[SL_SOURCE_ID],
                 uint32_t index, const uint8_t *octets, size_t size);

    // The source cannot go on with bundle `id` (unplugged, changed, silent); it delivers no more of
    // it until it is wanted again. `reason` is for people. Without a want: the bundle is no longer
    // to be had.
    void (*ended)(void *context, struct sl_source *source, const uint8_t id[SL_SOURCE_ID],
                  const char *reason);
};

// Bit i % 8 of have[i / 8]: chunk i is in the slot. The bitmap is the agent's, changes with every
// chunk and is valid until the next call of `want`.
struct sl_source_want {
    uint8_t id[SL_SOURCE_ID];
    uint32_t n_chunks;
    const uint8_t *have;
};

struct sl_source_ops {
    const char *name; // "stick"

    // Fills in descriptors and events to wait for, and when it wants to be called although none is
    // ready: a CLOCK_MONOTONIC time in milliseconds, SL_SOURCE_IDLE for never. Returns how many.
    size_t (*poll)(struct sl_source *source, struct pollfd fds[SL_SOURCE_FDS], int64_t *due_ms);

    // Does what is ready or due at `now_ms`, at most about one chunk of work, and returns within
    // three seconds whatever the other end does. `fds` are those of `poll`, with revents.
    void (*step)(struct sl_source *source, const struct pollfd *fds, size_t n, int64_t now_ms);

    // What is missing in `want->have` is wanted, in place of what was before. NULL: nothing.
    // Ignored, with `ended` in the next step, if this source does not have that bundle.
    void (*want)(struct sl_source *source, const struct sl_source_want *want);

    // Bundles that were offered before are offered again soon: other rules hold. May be NULL.
    void (*again)(struct sl_source *source);

    void (*free)(struct sl_source *source);
};

// First member of each source's own struct; the creator fills it in.
struct sl_source {
    const struct sl_source_ops *ops;
    const struct sl_source_sink *sink;
};

static inline bool sl_source_has(const struct sl_source_want *want, uint32_t index)
{
    return want->have[index / 8] >> index % 8 & 1;
}

// A stick's source: takes the sticks that readers offer at `listener` (sl_stick_listen), one after
// the other, and looks at every bundle and document on each. Owns `listener`. NULL: no memory.
struct sl_source *sl_source_stick_new(int listener, const struct sl_source_sink *sink);

#endif
