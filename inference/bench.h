// Inside of `sightline bench --model`: networks, their inputs, the peer, and what is reported.
#ifndef SL_INFERENCE_BENCH_H
#define SL_INFERENCE_BENCH_H

#include "accel/accel.h"
#include "inference/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// bench_network.c: a network, from a model's folder or from an ONNX file alone.
struct bench_network {
    const struct sl_model *model;
    struct sl_onnx *onnx;
    struct sl_model_source *source;
    const struct sl_graph *graph; // with the bytes of the file
};
int bench_network_open(const char *path, struct bench_network *out, struct sl_error *error);
void bench_network_close(struct bench_network *network);

// The networks that a path stands for: itself, or the .onnx files of a folder without model.yaml,
// by name. Give the list back with bench_paths_free. -ENOENT: a folder with neither.
struct bench_paths {
    char **path;
    uint32_t count;
};
int bench_paths_find(const char *path, struct bench_paths *out, struct sl_error *error);
void bench_paths_free(struct bench_paths *paths);

// bench_inputs.c: random contents for every input, the same for the same seed. Integers take every
// value of their type. Real numbers that are quantised next go evenly over what the quantisation
// holds and a little beyond; others lie in [0, 1).
void bench_inputs_fill(const struct sl_graph *graph, struct sl_program *program, uint64_t seed);

// bench_peer.c: the same file in ONNX Runtime. One session with its defaults is what is timed;
// another one is compared with, for which it was told not to take the kernels whose 16-bit sums
// saturate (session.x64quantprecision).
struct bench_peer;
// Reads the inputs where `program` has them. `library` NULL: the usual places.
int bench_peer_open(const char *library, uint32_t threads, const struct sl_graph *graph,
                    struct sl_program *program, struct bench_peer **out, struct sl_error *error);
void bench_peer_close(struct bench_peer *peer); // NULL is fine
const char *bench_peer_version(const struct bench_peer *peer);
int bench_peer_run(struct bench_peer *peer, struct sl_error *error);

// How the last outputs of the program differ from the peer's for the same inputs. Quantised outputs
// and those that are dequantised from them must be equal byte for byte. Others were computed in
// real numbers, in another order: they count as equal within BENCH_TOLERANCE of the greatest value.
#define BENCH_TOLERANCE 1e-3
struct bench_difference {
    uint64_t values, differing, differing_bytes;
    double max_difference;
    bool equal;
    char first[64]; // the output that differs first; empty if none does
};
// Adds to *sum, which starts as {.equal = true}.
int bench_peer_compare(struct bench_peer *peer, struct bench_difference *sum,
                       struct sl_error *error);

// bench_report.c: what was measured, as text or as one line of JSON.
struct bench_times {
    double *ms; // in ascending order
    long count;
};
double bench_median(const struct bench_times *times);
double bench_p99(const struct bench_times *times);

struct bench_layer {
    struct sl_profile row;
    double us; // mean
};
struct bench_report {
    const char *model, *backend, *isa;
    uint32_t threads;
    double load_ms;
    double ceiling; // GMAC/s of all threads, 0: not known
    uint64_t bytes;
    struct sl_footprint footprint;
    char remark[128]; // how the back end runs it; empty: not told
    struct sl_macs macs;
    struct bench_times ours, theirs; // theirs.count 0: nobody to compare with
    const char *peer_version;
    struct bench_difference difference;
    struct bench_layer *layers;
    uint32_t n_layers;
};
void bench_report_text(const struct bench_report *report);
void bench_report_json(const struct bench_report *report);

#endif
