// What is left of the disk under the ledger.
#include "pipeline/storage.h"

#include <sys/statvfs.h>

#define MIB G_GUINT64_CONSTANT(1048576)

static guint64 least_free(guint64 total_bytes, gboolean was_low)
{
    const guint64 least = MAX(MIN(total_bytes / 50, 1024 * MIB), MIN(64 * MIB, total_bytes / 4));
    return was_low ? least + least / 4 : least;
}

void sl_storage_look(const gchar *folder, struct sl_evidence *evidence, struct sl_storage *s)
{
    struct statvfs fs;
    if (statvfs(folder, &fs) == 0) {
        s->free_bytes = (guint64)fs.f_bavail * fs.f_frsize;
        s->total_bytes = (guint64)fs.f_blocks * fs.f_frsize;
        s->low = s->free_bytes < least_free(s->total_bytes, s->low);
    }
    s->evidence_known = evidence != NULL;
    if (evidence)
        sl_evidence_stats(evidence, &s->evidence);
}
