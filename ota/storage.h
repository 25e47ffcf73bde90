// The storage of one camera: two state areas and three slots, found by name in one folder, which is
// /dev/disk/by-partlabel or, in development, a folder of files.
#ifndef SL_OTA_STORAGE_H
#define SL_OTA_STORAGE_H

#include "ota/agent.h"
#include "ota/bundle/load.h"
#include "ota/slot.h"

#define SL_STORAGE_SLOTS 3 // enum sl_slot_name without SL_SLOT_NONE

struct sl_storage {
    struct sl_device_file area[2], slot[SL_STORAGE_SLOTS];
    struct sl_state_store state;
};

// The part's name in the folder: "sl-state-0". `area` 0 or 1; `slot` below SL_SLOT_NONE.
const char *sl_storage_area_name(unsigned area);
const char *sl_storage_slot_name(enum sl_slot_name slot);

// Opens all five, each locked against a second writer if `writable`. 0, or a negative errno and the
// name of the part that it is about in *part. Large: make the struct static.
int sl_storage_open(struct sl_storage *storage, const char *folder, bool writable,
                    const char **part);
void sl_storage_close(struct sl_storage *storage);

// A slot as where a bundle comes from.
struct sl_bundle_source sl_storage_source(struct sl_device_file *slot);

// Head, every chunk and every component of what is in the slot. Policy (floor, denied ids) is the
// agent's. `facts` is written if the bundle is accepted.
enum sl_refusal sl_storage_examine(struct sl_device_file *slot, const struct sl_trust *trust,
                                   struct sl_bundle *bundle, struct sl_bundle_facts *facts,
                                   struct sl_bundle_error *error);

// What the state says is trusted: the chain in each slot must contain it.
struct sl_trust sl_storage_trust(const struct sl_ota_state *state);

// What the agent needs to know of a verified bundle.
struct sl_bundle_facts sl_storage_facts(const struct sl_bundle *bundle);

// Writes a verified bundle into a slot, superblock last. `source` is read once for this; each chunk
// is checked before it is written. `error` names the chunk, or the device's errno.
enum sl_refusal sl_storage_install(struct sl_device_file *slot, struct sl_bundle *bundle,
                                   const struct sl_bundle_source *source,
                                   struct sl_bundle_error *error);

#endif
