// Pictures of parts, kept as files beside the ledger.
//
// FOLDER/pictures/XX/NAME.jpg, XX being two characters of the name so that no directory gets too
// long, and their names in FOLDER/pictures.db. A file is whole or not there (temporary file and
// rename) and has its row before it has its name: so that what the quota counts is what is there.
// Beyond the quota the oldest go first, counted. A damaged pictures.db is moved aside and made
// anew from the files.
#ifndef SL_MQTT_LEDGER_EVIDENCE_H
#define SL_MQTT_LEDGER_EVIDENCE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_EVIDENCE_NAME_MAX 23u

struct sl_evidence;

struct sl_evidence_stats {
    uint64_t files, bytes;
    uint64_t removed; // for want of quota, in this run
    uint64_t failed;  // could not be written
    char problem[200];
};

struct sl_evidence_picture {
    const char *name; // a-z and 0-9, at least two and at most SL_EVIDENCE_NAME_MAX
    const char *camera, *part_id;
    uint32_t result; // enum sl_result; 0: a snapshot
    int64_t ts_ms;
    const void *jpeg;
    size_t size;
};

// The folder is the ledger's; made when it is not there.
struct sl_evidence *sl_evidence_new(const char *folder, uint32_t max_mb, GError **error);
void sl_evidence_free(struct sl_evidence *evidence); // NULL is fine

// Any thread; waits for the disk. False: it could not be kept, and is counted.
bool sl_evidence_add(struct sl_evidence *evidence, const struct sl_evidence_picture *picture);
void sl_evidence_stats(struct sl_evidence *evidence, struct sl_evidence_stats *out);

bool sl_evidence_is_name(const char *name);
// Where a picture of that name is or would be; to be freed with g_free. NULL: it is no name.
char *sl_evidence_path(const char *folder, const char *name);

#endif
