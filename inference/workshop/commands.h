// The actions of `sightline model` that make new models or compare them. argv[0] is the action.
#ifndef SL_INFERENCE_WORKSHOP_COMMANDS_H
#define SL_INFERENCE_WORKSHOP_COMMANDS_H

#include "inference/workshop/progress.h"
#include "inference/workshop/sparse.h"

int workshop_command_convert(int argc, char **argv);
int workshop_command_prune(int argc, char **argv);
int workshop_command_quantize(int argc, char **argv);
int workshop_command_report(int argc, char **argv);

// What `sightline model prune --sparse` shall do with an open network.
struct sparse_request {
    const char *pictures, *out, *pattern;
    uint32_t least, most; // pictures
    bool json;
    struct sparse_options how;
};
int sparse_work(const struct sparse_request *request, struct network *network,
                struct progress *progress, struct sl_error *error);

#endif
