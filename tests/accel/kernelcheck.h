// One check of a kernel: seeded inputs behind guard pages, the plain C kernel of the slot and the
// variant on the same inputs, and the comparison of what they wrote.
#ifndef TESTS_ACCEL_KERNELCHECK_H
#define TESTS_ACCEL_KERNELCHECK_H

#include "tests/accel/guard.h"
#include "tests/accel/network.h"

#include "accel/cpu/kernels.h"

#include <string.h>

typedef void kernel_fn(void);

enum { REFERENCE, VARIANT, KERNELS_OF_ROUND };

struct round {
    struct random *random;
    kernel_fn *functions[KERNELS_OF_ROUND];
    bool bench;                  // usual sizes instead of odd ones, and time both
    double ns[KERNELS_OF_ROUND]; // of one call, the best of several samples
    bool same;
};

// A case of the slot: it makes inputs, runs both and sets round->same. A slot of kernels.def that
// has none does not link.
#define KERNEL(slot, isa, function) void check_##slot(struct round *round, struct guard *guard);
#include "accel/cpu/kernels.def"
#undef KERNEL

double round_now_ns(void);

// 1 to `most`; the usual size `bench` in a round that is timed.
int64_t size(struct round *round, int64_t most, int64_t bench);
void *random_bytes(struct round *round, struct guard *guard, size_t bytes);
float *random_reals(struct round *round, struct guard *guard, size_t count, float most);
struct cpu_add random_add(struct random *random);

// Calls both kernels with these arguments, in which `y` is the output: `want` for the reference,
// whose contents are the outputs before the call, `have` for the variant.
#define RUN_BOTH(round, type, want, have, bytes, ...)                                              \
    do {                                                                                           \
        void *const outputs[KERNELS_OF_ROUND] = {want, have};                                      \
        memcpy(have, want, bytes);                                                                 \
        for (int which = 0; which < KERNELS_OF_ROUND; which++) {                                   \
            void *y = outputs[which];                                                              \
            ((type *)(round)->functions[which])(__VA_ARGS__);                                      \
        }                                                                                          \
        (round)->same = memcmp(want, have, bytes) == 0;                                            \
        for (int sample = 0; (round)->bench && sample < 2 * BENCH_SAMPLES; sample++) {             \
            void *y = outputs[sample % KERNELS_OF_ROUND];                                          \
            type *function = (type *)(round)->functions[sample % KERNELS_OF_ROUND];                \
            const double before = round_now_ns();                                                  \
            long calls = 0;                                                                        \
            while (calls % 8 || round_now_ns() - before < BENCH_NS) {                              \
                function(__VA_ARGS__);                                                             \
                calls++;                                                                           \
            }                                                                                      \
            const double ns = (round_now_ns() - before) / (double)calls;                           \
            double *best = &(round)->ns[sample % KERNELS_OF_ROUND];                                \
            *best = ns < *best ? ns : *best;                                                       \
        }                                                                                          \
    } while (0)
#define BENCH_SAMPLES 5
#define BENCH_NS      2e6

#endif
