// Inside of mqtt/sparkplug: how far the host has been told, kept over restarts.
//
// FOLDER/sparkplug.json is written whole and renamed. Without it, or where it makes no sense, the
// node begins anew: bdSeq at 0, nothing of the ledger's past is told.
#ifndef SL_MQTT_SPARKPLUG_PROGRESS_H
#define SL_MQTT_SPARKPLUG_PROGRESS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRESS_CAMERAS 16u

struct progress_camera {
    char name[64];
    int64_t record;          // the last of the ledger that the host surely has; −1: not known yet
    uint64_t parts, rejects; // up to that record
};

struct progress {
    int bdseq;         // of the last CONNECT; −1: there was none
    char database[24]; // that the records are of
    size_t n_cameras;
    struct progress_camera cameras[PROGRESS_CAMERAS];
};

// The cameras' names are set by the caller; others in the file are forgotten. Never fails.
void progress_load(struct progress *progress, const char *folder);
bool progress_save(const struct progress *progress, const char *folder, GError **error);

#endif
