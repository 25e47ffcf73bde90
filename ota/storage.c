// A camera's slots and state areas in one folder, and bundles in them.
#include "ota/storage.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

const char *sl_storage_area_name(unsigned area)
{
    return area == 0 ? "sl-state-0" : "sl-state-1";
}

const char *sl_storage_slot_name(enum sl_slot_name slot)
{
    static const char *const names[] = {"sl-model-a", "sl-model-b", "sl-golden"};
    return slot < SL_SLOT_NONE ? names[slot] : "none";
}

static int open_part(struct sl_device_file *file, const char *folder, const char *name,
                     bool writable)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    return sl_device_file_open(file, path, writable);
}

static int open_parts(struct sl_storage *s, const char *folder, bool writable, const char **part)
{
    for (unsigned i = 0; i < 2; i++) {
        *part = sl_storage_area_name(i);
        const int status = open_part(&s->area[i], folder, *part, writable);
        if (status < 0)
            return status;
    }
    for (enum sl_slot_name i = SL_SLOT_A; i < SL_SLOT_NONE; i++) {
        *part = sl_storage_slot_name(i);
        const int status = open_part(&s->slot[i], folder, *part, writable);
        if (status < 0)
            return status;
    }
    *part = sl_storage_area_name(0);
    return sl_state_open(&s->state, &s->area[0].device, &s->area[1].device);
}

int sl_storage_open(struct sl_storage *storage, const char *folder, bool writable,
                    const char **part)
{
    for (unsigned i = 0; i < 2; i++)
        storage->area[i].fd = storage->area[i].direct = -1;
    for (unsigned i = 0; i < SL_STORAGE_SLOTS; i++)
        storage->slot[i].fd = storage->slot[i].direct = -1;
    const int status = open_parts(storage, folder, writable, part);
    if (status < 0)
        sl_storage_close(storage);
    return status;
}

void sl_storage_close(struct sl_storage *storage)
{
    for (unsigned i = 0; i < 2; i++)
        sl_device_file_close(&storage->area[i]);
    for (unsigned i = 0; i < SL_STORAGE_SLOTS; i++)
        sl_device_file_close(&storage->slot[i]);
}

static int read_slot(void *ctx, uint64_t offset, void *out, size_t size)
{
    struct sl_device_file *slot = ctx;
    return sl_device_read(&slot->device, offset, out, size);
}

struct sl_bundle_source sl_storage_source(struct sl_device_file *slot)
{
    return (struct sl_bundle_source){read_slot, slot, slot->device.size, false};
}

struct sl_trust sl_storage_trust(const struct sl_ota_state *state)
{
    struct sl_trust trust = {.version = state->root_version};
    memcpy(trust.hash, state->root_hash, sizeof(trust.hash));
    return trust;
}

static struct sl_number number_of(struct sl_bundle_number n)
{
    return (struct sl_number){n.epoch, n.seq};
}

struct sl_bundle_facts sl_storage_facts(const struct sl_bundle *bundle)
{
    struct sl_bundle_facts facts = {.number = number_of(bundle->manifest.number),
                                    .floor = number_of(bundle->manifest.floor),
                                    .root_version = bundle->root.version};
    memcpy(facts.id, bundle->super.id, SL_OTA_ID);
    memcpy(facts.root_hash, bundle->root.hash, sizeof facts.root_hash);
    return facts;
}

enum sl_refusal sl_storage_examine(struct sl_device_file *slot, const struct sl_trust *trust,
                                   struct sl_bundle *bundle, struct sl_bundle_facts *facts,
                                   struct sl_bundle_error *error)
{
    const struct sl_bundle_policy any = {0};
    const struct sl_bundle_source source = sl_storage_source(slot);
    enum sl_refusal refusal = sl_bundle_verify(bundle, &source, trust, &any, error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_bundle_verify_payload(bundle, &source, NULL, NULL, error);
    if (refusal == SL_ACCEPTED)
        *facts = sl_storage_facts(bundle);
    return refusal;
}

static enum sl_refusal put_chunk(struct sl_slot_writer *writer, struct sl_bundle *b,
                                 const struct sl_bundle_source *source, uint32_t index,
                                 struct sl_bundle_error *error)
{
    const uint32_t length = sl_bundle_chunk_length(b, index);
    if (sl_slot_has(writer, index))
        return SL_ACCEPTED;
    int status = source->read(source->ctx, b->super.payload_at + (uint64_t)index * SL_CHUNK,
                              b->chunk, length);
    if (status < 0)
        return sl_refuse(error, SL_REFUSED_READ, "chunk %u: %s", index, strerror(-status));
    const enum sl_refusal refusal = sl_bundle_check_chunk(b, index, b->chunk, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    status = sl_slot_put(writer, index, b->chunk, length);
    return status == 0 ? SL_ACCEPTED
                       : sl_refuse(error, SL_REFUSED_READ, "writing chunk %u: %s", index,
                                   strerror(-status));
}

enum sl_refusal sl_storage_install(struct sl_device_file *slot, struct sl_bundle *bundle,
                                   const struct sl_bundle_source *source,
                                   struct sl_bundle_error *error)
{
    static uint8_t room[SL_CHUNK]; // the writer's own, because it reads back while a chunk waits
    static struct sl_slot_writer writer;
    const struct sl_slot_image image = {.head = bundle->head,
                                        .head_size = bundle->super.payload_at,
                                        .chunk_size = SL_CHUNK,
                                        .payload = bundle->super.payload,
                                        .hashes = bundle->head + bundle->super.chunk_list_at};
    int status = sl_slot_begin(&writer, &slot->device, &image, room, sizeof(room));
    if (status < 0)
        return sl_refuse(error, SL_REFUSED_READ, "beginning the slot: %s", strerror(-status));
    for (uint32_t i = 0; i < sl_bundle_n_chunks(bundle); i++) {
        const enum sl_refusal refusal = put_chunk(&writer, bundle, source, i, error);
        if (refusal != SL_ACCEPTED)
            return refusal;
    }
    status = sl_slot_finish(&writer);
    return status == 0
               ? SL_ACCEPTED
               : sl_refuse(error, SL_REFUSED_READ, "finishing the slot: %s", strerror(-status));
}
