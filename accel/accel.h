// The accelerator session: all that the rest of the program sees of what runs a network.
//
// A session is opened by a configuration string
//     BACKEND[:DEVICE][,key=value…]        for example "cpu" or "cpu,threads=2"
// and programs are loaded into it. A program owns its tensors' memory, so that a picture can be
// preprocessed straight into what the accelerator reads.
//
// Threads: one session is used from one thread at a time; status may be read from any thread.
#ifndef SL_ACCEL_ACCEL_H
#define SL_ACCEL_ACCEL_H

#include "accel/error.h"
#include "accel/graph.h"
#include "accel/plugin.h"

#include <stddef.h>
#include <stdint.h>

#define SL_NO_DEADLINE INT64_MAX

struct sl_accel;
struct sl_program;

// Adds a built-in back end, at start-up before the first open; `cpu` is always there. -EEXIST: the
// name is taken; -EINVAL: another ABI or a missing member that has no default.
int sl_accel_register(const struct sl_backend *backend, struct sl_error *error);

// Calls `each` for every back end and every device it finds; where a probe failed `device` is NULL
// and `problem` says why.
typedef void (*sl_accel_each)(void *ctx, const struct sl_backend *backend,
                              const struct sl_device_info *device, const char *problem);
void sl_accel_list(sl_accel_each each, void *ctx);

// On failure *out is untouched and the message names what was wrong and what is valid.
int sl_accel_open(const char *config, struct sl_accel **out, struct sl_error *error);
void sl_accel_close(struct sl_accel *accel); // unload its programs first; NULL is fine

struct sl_accel_status {
    char wanted[256]; // the configuration string
    char actual[64];  // the back end that ran last
    char reason[128]; // why actual is not what was wanted; empty if it is
    uint64_t runs, timeouts, failures;
    struct sl_device_health health;
    uint64_t steps, fallbacks, checks, alarms; // as in struct sl_standing
};
void sl_accel_status(struct sl_accel *accel, struct sl_accel_status *out);

// Compiles; not for the frame path. `graph` need not live longer than the call.
int sl_accel_load(struct sl_accel *accel, const struct sl_graph *graph, struct sl_program **out,
                  struct sl_error *error);
void sl_accel_unload(struct sl_program *program); // NULL is fine

// Dense row-major tensors in the dtype and dims of the graph's inputs and outputs, 64-byte aligned,
// owned by the program and at the same address for its whole life. Write inputs before a run, read
// outputs after it. NULL if index is out of range.
void *sl_program_input(struct sl_program *program, uint32_t index, size_t *bytes);
const void *sl_program_output(struct sl_program *program, uint32_t index, size_t *bytes);

// Runs once; allocates nothing. `deadline_ns` is a CLOCK_MONOTONIC time or SL_NO_DEADLINE. On
// failure (-ETIMEDOUT among others) the outputs are not valid.
int sl_program_run(struct sl_program *program, int64_t deadline_ns, struct sl_error *error);

uint64_t sl_program_bytes(struct sl_program *program);
// Zeros where the back end does not tell.
struct sl_footprint sl_program_footprint(struct sl_program *program);
// How the back end runs the program, in a line for people; empty where it does not tell.
void sl_program_remark(struct sl_program *program, char *text, size_t size);
uint32_t sl_program_profile(struct sl_program *program, struct sl_profile *rows, uint32_t max);

#endif
