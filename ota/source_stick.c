// Sticks as a source of bundles: two passes over a bundle that is wanted, the first of which only
// looks whether all of it is right.
#include "ota/source.h"

#include "ota/bundle/format.h"
#include "ota/bundle/superblock.h"
#include "ota/sha256.h"
#include "ota/usb/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMEOUT_MS = 2000, LOOK_AGAIN_MS = 2000 };

enum work { NOTHING, LISTING, OFFERING, CHECKING, DELIVERING };

struct stick_source {
    struct sl_source source;
    int listener;
    struct sl_stick *stick; // NULL: none is in
    const struct sl_stick_listing *listing;
    enum work work;
    uint32_t file;  // that is offered next, or delivered
    uint32_t chunk; // next
    int64_t due_ms;
    bool wanted, missing; // missing: what is wanted is not on the stick
    bool bundles;         // documents were offered, bundles are
    struct sl_source_want want;
    struct sl_superblock super;
    uint8_t head[SL_HEAD_MAX]; // of `file`
    uint8_t octets[SL_CHUNK];
};

static void rest(struct stick_source *s, int64_t now_ms)
{
    s->work = NOTHING;
    s->due_ms = s->stick ? now_ms + LOOK_AGAIN_MS : SL_SOURCE_IDLE;
}

static void lose(struct stick_source *s, const char *why)
{
    const bool wanted = s->wanted;
    uint8_t id[SL_SOURCE_ID];
    memcpy(id, s->want.id, sizeof(id));
    sl_stick_close(s->stick);
    s->stick = NULL;
    s->listing = NULL;
    s->wanted = s->missing = false;
    rest(s, 0);
    if (wanted)
        s->source.sink->ended(s->source.sink->context, &s->source, id, why);
}

static bool is_bundle(const struct sl_stick_file *file)
{
    const size_t length = strlen(file->name);
    return length > 4 && !strcasecmp(file->name + length - 4, ".slb");
}

// False: the stick is gone, or the file cannot be read and is passed over.
static bool read_file(struct stick_source *s, uint64_t offset, void *out, size_t size)
{
    struct sl_volume_error error = {""};
    const int status = sl_stick_read(s->stick, s->file, offset, out, size, &error);
    if (status == -EPROTO || status == -EPIPE || status == -ETIMEDOUT || status == -ESTALE)
        lose(s, error.text[0] ? error.text : strerror(-status));
    return status == 0;
}

static bool read_head(struct stick_source *s)
{
    const uint64_t length = s->listing->files[s->file].length;
    return length >= SL_PAGE && read_file(s, 0, s->head, SL_PAGE) &&
           sl_superblock_read(s->head, &s->super, NULL) == SL_ACCEPTED &&
           s->super.total <= length &&
           read_file(s, SL_PAGE, s->head + SL_PAGE, s->super.payload_at - SL_PAGE);
}

static void offer_document(struct stick_source *s)
{
    const uint64_t length = s->listing->files[s->file].length;
    if (length > 0 && length <= SL_DOCUMENT_MAX && read_file(s, 0, s->head, (size_t)length))
        s->source.sink->document(s->source.sink->context, &s->source, s->head, (size_t)length);
}

// One file a step, catalogs and orders before the bundles that they are about. The agent may want a
// bundle before the call returns.
static void offer_next(struct stick_source *s, int64_t now_ms)
{
    while (s->file < s->listing->count && is_bundle(&s->listing->files[s->file]) != s->bundles)
        s->file++;
    if (s->file >= s->listing->count) {
        if (s->bundles)
            rest(s, now_ms);
        s->bundles = true;
        s->file = 0;
        return;
    }
    if (!s->bundles)
        offer_document(s);
    else if (read_head(s))
        s->source.sink->offer(s->source.sink->context, &s->source, s->head, s->super.payload_at);
    if (s->work == OFFERING)
        s->file++;
}

static uint32_t length_of(const struct stick_source *s, uint32_t chunk)
{
    const uint64_t left = s->super.payload - (uint64_t)chunk * SL_CHUNK;
    return left < SL_CHUNK ? (uint32_t)left : SL_CHUNK;
}

static bool read_chunk(struct stick_source *s)
{
    const uint64_t at = s->super.payload_at + (uint64_t)s->chunk * SL_CHUNK;
    if (read_file(s, at, s->octets, length_of(s, s->chunk)))
        return true;
    if (s->stick)
        lose(s, "the bundle cannot be read");
    return false;
}

static void check_next(struct stick_source *s)
{
    uint8_t hash[SL_HASH];
    if (s->chunk == s->want.n_chunks) {
        s->work = DELIVERING;
        s->chunk = 0;
        return;
    }
    if (!sl_source_has(&s->want, s->chunk)) {
        if (!read_chunk(s))
            return;
        sl_sha256(hash, s->octets, length_of(s, s->chunk));
        if (memcmp(hash, s->head + s->super.chunk_list_at + (size_t)s->chunk * SL_HASH,
                   sizeof(hash)) != 0) {
            char text[80];
            snprintf(text, sizeof(text), "chunk %u on the stick is not what was signed", s->chunk);
            lose(s, text);
            return;
        }
    }
    s->chunk++;
}

static void deliver_next(struct stick_source *s)
{
    while (s->chunk < s->want.n_chunks && sl_source_has(&s->want, s->chunk))
        s->chunk++;
    if (s->chunk == s->want.n_chunks) { // the agent found some wrong later
        s->chunk = 0;
        return;
    }
    if (!read_chunk(s))
        return;
    const int status = s->source.sink->chunk(s->source.sink->context, &s->source, s->want.id,
                                             s->chunk, s->octets, length_of(s, s->chunk));
    if (status == -EBADMSG)
        lose(s, "the stick has changed");
    else if (s->work == DELIVERING)
        s->chunk++;
}

static void take_stick(struct stick_source *s)
{
    struct sl_volume_error error = {""};
    uid_t user;
    struct sl_stick *stick = NULL;
    if (sl_stick_accept(s->listener, TIMEOUT_MS, &stick, &user, &error) < 0)
        return;
    if (s->stick) // one at a time, the newest
        lose(s, "another stick was put in");
    s->stick = stick;
    s->work = LISTING;
}

static void list(struct stick_source *s)
{
    struct sl_volume_error error = {""};
    const int status = sl_stick_list(s->stick, &s->listing, &error);
    if (status < 0) {
        fprintf(stderr, "sightline-otad: stick: %s\n", error.text);
        lose(s, error.text);
        return;
    }
    s->work = OFFERING;
    s->bundles = false;
    s->file = 0;
}

static void work(struct stick_source *s, int64_t now_ms)
{
    switch (s->work) {
    case LISTING:
        list(s);
        break;
    case OFFERING:
        offer_next(s, now_ms);
        break;
    case CHECKING:
        check_next(s);
        break;
    case DELIVERING:
        deliver_next(s);
        break;
    case NOTHING: // perhaps something else is wanted now; this also sees that the stick is gone
        if (now_ms >= s->due_ms && s->stick)
            list(s);
        break;
    }
}

static size_t prepare(struct sl_source *source, struct pollfd fds[SL_SOURCE_FDS], int64_t *due_ms)
{
    const struct stick_source *s = (const struct stick_source *)source;
    fds[0] = (struct pollfd){s->listener, POLLIN, 0};
    *due_ms = s->missing || s->work != NOTHING ? 0 : s->due_ms;
    return 1;
}

static void step(struct sl_source *source, const struct pollfd *fds, size_t n, int64_t now_ms)
{
    struct stick_source *s = (struct stick_source *)source;
    if (n > 0 && fds[0].revents)
        take_stick(s);
    if (s->missing) {
        s->missing = s->wanted = false;
        source->sink->ended(source->sink->context, source, s->want.id, "it is not on a stick");
    }
    if (s->stick)
        work(s, now_ms);
}

static void want(struct sl_source *source, const struct sl_source_want *want)
{
    struct stick_source *s = (struct stick_source *)source;
    s->wanted = want != NULL;
    if (!want) {
        s->work = s->stick ? OFFERING : NOTHING;
        s->bundles = true;
        s->file = s->listing ? s->listing->count : 0; // all were offered; look again later
        s->work = s->listing ? s->work : NOTHING;
        return;
    }
    s->want = *want;
    s->missing = !s->stick || memcmp(s->super.id, want->id, SL_SOURCE_ID) != 0;
    s->work = s->missing ? s->work : CHECKING;
    s->chunk = 0;
}

static void free_source(struct sl_source *source)
{
    struct stick_source *s = (struct stick_source *)source;
    sl_stick_close(s->stick);
    close(s->listener);
    free(s);
}

struct sl_source *sl_source_stick_new(int listener, const struct sl_source_sink *sink)
{
    static const struct sl_source_ops ops = {"stick", prepare, step, want, NULL, free_source};
    struct stick_source *s = calloc(1, sizeof(*s));
    if (!s) {
        close(listener);
        return NULL;
    }
    s->source = (struct sl_source){&ops, sink};
    s->listener = listener;
    s->due_ms = SL_SOURCE_IDLE;
    return &s->source;
}
