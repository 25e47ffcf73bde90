// ONNX Runtime, loaded at run time: the library, its sessions, and tensors in the caller's memory.
//
// Nothing of ONNX Runtime is needed to build or to start the program. `ort_open` loads
// libonnxruntime.so.1 from, in this order: the path given; the file that the environment variable
// SIGHTLINE_ONNXRUNTIME names; $XDG_DATA_HOME/sightline (by default ~/.local/share/sightline),
// where deploy/fetch-onnxruntime.sh puts it; the folders of the dynamic linker.
//
// Threads: different sessions may be used from different threads at the same time, one session from
// one thread at a time. Close sessions before the library.
#ifndef SL_ACCEL_ONNXRUNTIME_ORT_H
#define SL_ACCEL_ONNXRUNTIME_ORT_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stddef.h>
#include <stdint.h>

struct ort;
struct ort_session;

// `path` NULL: the places above. -ENOENT: there is no library, and the message says how to get it;
// -EINVAL: the file is not ONNX Runtime, or it is older than ORT_OLDEST.
#define ORT_OLDEST "1.12"
int ort_open(const char *path, struct ort **out, struct sl_error *error);
void ort_close(struct ort *ort);              // NULL is fine
const char *ort_version(const struct ort *o); // "1.30.0"

// Execution providers that this library was built with, best first: "CPUExecutionProvider" …
uint32_t ort_provider_count(const struct ort *ort);
const char *ort_provider(const struct ort *ort, uint32_t index); // NULL beyond the last

struct ort_entry {
    const char *key, *value;
};

struct ort_options {
    uint32_t threads;               // within an operator; 0 means 1
    const struct ort_entry *config; // session configuration entries
    uint32_t n_config;
    const char *provider; // "QNN", "OpenVINO", "XNNPACK" …; NULL: the CPU alone
    const struct ort_entry *provider_options;
    uint32_t n_provider_options;
    const char *profile; // the session writes profile_TIME.json when it is freed; NULL: none
};

struct ort_tensor {
    const char *name; // owned by the session
    uint32_t dtype;   // enum sl_dtype, 0 for a type that is not among them
    uint32_t rank;
    int64_t dims[SL_MAX_RANK]; // -1: open until it is bound
};

// All graph optimisations are on. `onnx` need not live longer than the call. -EINVAL with ONNX
// Runtime's own words where it refuses the model, an option or the provider.
int ort_session_create(struct ort *ort, const void *onnx, size_t bytes,
                       const struct ort_options *options, struct ort_session **out,
                       struct sl_error *error);
void ort_session_free(struct ort_session *session); // NULL is fine

enum ort_direction { ORT_INPUT, ORT_OUTPUT, ORT_DIRECTIONS };

uint32_t ort_session_count(const struct ort_session *session, enum ort_direction direction);
// NULL if index is out of range.
const struct ort_tensor *ort_session_tensor(const struct ort_session *session,
                                            enum ort_direction direction, uint32_t index);

// Lends memory to a tensor until it is bound again or the session is freed: dense, row-major. Type
// and dimensions must be those of the model, and `bytes` must be what they need.
int ort_session_bind(struct ort_session *session, enum ort_direction direction, uint32_t index,
                     const struct sl_tensor *shape, void *data, size_t bytes,
                     struct sl_error *error);
// Runs once on what is bound; every tensor must be. Outputs are written where they were bound.
int ort_session_run(struct ort_session *session, struct sl_error *error);

#endif
