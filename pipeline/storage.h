// What is left of the disk under the ledger.
#ifndef SL_PIPELINE_STORAGE_H
#define SL_PIPELINE_STORAGE_H

#include "mqtt/ledger/evidence.h"

#include <glib.h>

struct sl_storage {
    guint64 free_bytes, total_bytes; // for us; total 0: not known
    gboolean low;
    gboolean evidence_known; // pictures can be kept
    struct sl_evidence_stats evidence;
};

// `evidence` may be NULL. Low is less than 2 % and less than 1 GiB, or less than 64 MiB; once it
// was low (as *storage says from before), a quarter more has to be free.
void sl_storage_look(const gchar *folder, struct sl_evidence *evidence,
                     struct sl_storage *storage);

#endif
