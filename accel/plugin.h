// The back-end ABI: what a plug-in implements, in a shared object or built in.
//
// A plug-in exports one symbol, `sightline_backend`. Every table carries its size; members are only
// ever appended, so an old plug-in runs under a new host (missing members get the default named
// beside them) and a new plug-in under an old one.
//
// Threads: calls on one device come from one thread at a time; different devices may be used in
// parallel. `wait` may block until its deadline; `open`, `compile` and `reset` may take seconds and
// are never called from the frame path; everything else returns promptly.
//
// Errors: 0, or a negative errno with a message. -ETIMEDOUT from `wait` means the work is still
// going on: the host resets or closes the device before it touches the buffers again. -ENODEV
// means the device is gone.
#ifndef SL_ACCEL_PLUGIN_H
#define SL_ACCEL_PLUGIN_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SL_ACCEL_ABI 1u

// What the host lends to a plug-in; valid until the plug-in is unloaded.
struct sl_host {
    uint32_t abi;
    uint32_t struct_size;
    // level as in syslog: 3 error, 4 warning, 6 information, 7 debug. Any thread.
    void (*log)(int level, const char *message);
    int64_t (*now_ns)(void); // CLOCK_MONOTONIC
};

struct sl_device_info {
    char name[64];         // what `open` takes as device: "0", "gpu1" …
    char description[192]; // for people: product, driver and firmware versions
};

// Where a tensor's bytes live. `fd` and `offset` serve the import of memfd and dma-buf.
enum sl_memory { SL_MEMORY_HOST = 1, SL_MEMORY_MEMFD = 2, SL_MEMORY_DMABUF = 3 };
struct sl_buffer {
    uint32_t memory; // enum sl_memory
    int32_t fd;      // -1 for host memory
    uint64_t offset;
    uint64_t bytes;
    void *data; // mapped address, aligned to 64 bytes; NULL if the host has not mapped it
};

struct sl_device_health {
    uint32_t struct_size;
    uint32_t ok;
    float temperature_c; // NAN where unknown
    float clock_mhz;     // NAN where unknown
    uint64_t errors;     // since open
};

// One row of a profile: a node of the last run.
struct sl_profile {
    const char *node; // owned by the program
    const char *kernel;
    float us;
    uint64_t macs;
};

// What a program needs in memory, and what it need not compute. Bytes.
struct sl_footprint {
    uint64_t arena;       // of all activations that are computed, and scratch memory
    uint64_t activations; // the largest that two activations alive at the same time take
    uint64_t constants;   // packed weights and tables
    uint64_t macs;        // multiply-accumulates of the layers as they stand in the file
    uint64_t left_out;    // of them: products with weights that are zero
};

// Which back end answers at the moment, and what happened on the way there. For back ends that are
// made of others.
struct sl_standing {
    uint32_t struct_size;
    uint32_t reserved;
    char actual[64];    // what ran last, "isolated:cpu"
    char reason[128];   // why that is not the first choice; empty if it is
    uint64_t steps;     // changes of what answers, since open
    uint64_t fallbacks; // runs that another than the first choice answered
    uint64_t checks;    // runs compared with the last choice's
    uint64_t alarms;    // of them: too different
};

// What a back end wants or promises, as bits of `traits`.
// Tensors in a memfd (SL_MEMORY_MEMFD), where it would otherwise have to copy or refuse them.
#define SL_TRAIT_MEMFD 1u
// `submit` and `wait` return in time whatever the hardware does, and once `wait` has failed and
// a second `wait` has returned 0, nothing touches the buffers.
#define SL_TRAIT_PUNCTUAL 2u

struct sl_backend {
    uint32_t abi; // SL_ACCEL_ABI
    uint32_t struct_size;
    const char *name;    // "cpu"
    const char *version; // for people

    // Fills up to *count devices and sets *count to how many exist. Default: one device "0".
    int (*probe)(const struct sl_host *host, struct sl_device_info *devices, uint32_t *count,
                 struct sl_error *error);
    // `options` is "key=value,key=value" or "". Unknown keys are refused by name.
    int (*open)(const struct sl_host *host, const char *device, const char *options, void **out,
                struct sl_error *error);
    void (*close)(void *device);

    // -ENOTSUP: the message names the node, the operator and the reason.
    int (*compile)(void *device, const struct sl_graph *graph, void **program,
                   struct sl_error *error);
    void (*release)(void *device, void *program);

    // Gives input or output `index` its memory; the buffer stays valid until the next bind of the
    // same index or release. Called for every input and output before the first submit.
    int (*bind_input)(void *device, void *program, uint32_t index, const struct sl_buffer *buffer,
                      struct sl_error *error);
    int (*bind_output)(void *device, void *program, uint32_t index, const struct sl_buffer *buffer,
                       struct sl_error *error);

    // Starts one inference on the bound buffers; at most one in flight per program.
    int (*submit)(void *device, void *program, struct sl_error *error);
    // Returns when the outputs are written, or when CLOCK_MONOTONIC reaches deadline_ns. 0 at once
    // if nothing is in flight.
    int (*wait)(void *device, void *program, int64_t deadline_ns, struct sl_error *error);

    // Default: always ok, values unknown.
    int (*health)(void *device, struct sl_device_health *out);
    // Back to the state after open, programs kept. Default: not supported.
    int (*reset)(void *device, struct sl_error *error);

    // Bytes that a program holds (weights, arena), for reports. Default: 0.
    uint64_t (*program_bytes)(void *device, void *program);
    // Fills up to `max` rows and returns how many there are. Default: none.
    uint32_t (*profile)(void *device, void *program, struct sl_profile *rows, uint32_t max);
    // Default: nothing is known.
    void (*footprint)(void *device, void *program, struct sl_footprint *out);

    uint32_t traits; // SL_TRAIT_…; default: none
    uint32_t reserved;
    // Any thread. Default: the back end itself answers, for no reason.
    void (*standing)(void *device, struct sl_standing *out);
    // How the program runs, in a line for people: up to `size` bytes with the final zero. Default:
    // nothing to say.
    void (*remark)(void *device, void *program, char *text, size_t size);
};

// The one exported symbol. Returns NULL if the plug-in cannot serve `host_abi`.
typedef const struct sl_backend *(*sl_backend_entry)(uint32_t host_abi);
#define SL_BACKEND_SYMBOL "sightline_backend"

#ifdef __cplusplus
}
#endif
#endif
