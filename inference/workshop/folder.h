// A new folder that appears whole or not at all: files are written beside it under another name,
// brought to the disk, and the folder is renamed. SIGINT, SIGTERM and SIGHUP between begin and end
// take effect in folder_end(), when what was not committed is removed; one folder at a time.
#ifndef SL_INFERENCE_WORKSHOP_FOLDER_H
#define SL_INFERENCE_WORKSHOP_FOLDER_H

#include "accel/error.h"

#include <stddef.h>

struct folder;

// -EEXIST: `path` is there already. To be asked before long work, too.
int folder_check(const char *path, struct sl_error *error);

int folder_begin(const char *path, struct folder **out, struct sl_error *error);
// `name` is relative, folders in it are made. A name that is there already is left as it is.
int folder_add(struct folder *folder, const char *name, const void *bytes, size_t size,
               struct sl_error *error);
int folder_commit(struct folder *folder, struct sl_error *error);
// Removes what was not committed; NULL is fine.
void folder_end(struct folder *folder);

#endif
