// Every kernel of kernels.def against the plain C one of its slot: seeded inputs, odd sizes, guard
// pages around every buffer. `--bench` times the same work, `--seed N` repeats a run.
#include "tests/accel/guard.h"
#include "tests/accel/network.h"

#include "accel/cpu/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef void kernel_fn(void);

// One round of a slot: makes inputs from `random`, runs both, compares. With `repeats` it times the
// second instead and returns the nanoseconds of one call.
struct round {
    struct random *random;
    kernel_fn *reference, *kernel;
    uint32_t whole; // the length of conv_dot's segments is a multiple of it
    int repeats;
    double ns;
    bool same;
};

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

#define RUN_BOTH(round, type, want, have, bytes, ...)                                              \
    do {                                                                                           \
        memset(want, 0x55, bytes);                                                                 \
        memset(have, 0x55, bytes);                                                                 \
        {                                                                                          \
            void *y = want;                                                                        \
            ((type *)(round)->reference)(__VA_ARGS__);                                             \
        }                                                                                          \
        void *y = have;                                                                            \
        ((type *)(round)->kernel)(__VA_ARGS__);                                                    \
        (round)->same = memcmp(want, have, bytes) == 0;                                            \
        double before = now_ns();                                                                  \
        for (int i = 0; i < (round)->repeats; i++)                                                 \
            ((type *)(round)->kernel)(__VA_ARGS__);                                                \
        (round)->ns = (now_ns() - before) / ((round)->repeats ? (round)->repeats : 1);             \
    } while (0)

static int64_t size(struct round *round, int64_t most, int64_t bench)
{
    return round->repeats ? bench : random_in(round->random, 1, most);
}

static void *random_bytes(struct round *round, struct guard *guard, size_t bytes)
{
    unsigned char *memory = guard_take(guard, bytes);
    for (size_t i = 0; i < bytes; i++)
        memory[i] = (unsigned char)(random_next(round->random) >> 7);
    return memory;
}

static float *random_reals(struct round *round, struct guard *guard, size_t count, float most)
{
    float *memory = guard_take(guard, count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        memory[i] = random_real(round->random, -most, most);
    return memory;
}

static void make_epilogue(struct round *round, struct guard *guard, struct cpu_epilogue *e)
{
    int32_t *bias = guard_take(guard, CPU_BLOCK * sizeof(*bias));
    float *multiplier = random_reals(round, guard, CPU_BLOCK, 1.0f);
    bool is_signed = random_in(round->random, 0, 1);
    for (int i = 0; i < CPU_BLOCK; i++) {
        bias[i] = (int32_t)random_in(round->random, -100000, 100000);
        // Now and then a multiplier for which everything saturates, and one that gives ties.
        int64_t kind = random_in(round->random, 0, 7);
        multiplier[i] = kind == 0 ? 1e6f : kind == 1 ? 0.5f : fabsf(multiplier[i]) * 0.001f;
    }
    e->zero = (int32_t)random_in(round->random, is_signed ? -128 : 0, is_signed ? 127 : 255);
    e->low = (float)((is_signed ? -128 : 0) - e->zero);
    e->high = (float)((is_signed ? 127 : 255) - e->zero);
    e->y_signed = is_signed;
    e->low += (float)random_in(round->random, 0, 3) * 20;
    e->high -= (float)random_in(round->random, 0, 3) * 20;
    e->bias = bias;
    e->multiplier = multiplier;
    e->bias_real = random_reals(round, guard, CPU_BLOCK, 1.0f);
    e->to_real = random_in(round->random, 0, 3) == 0;
    e->to_sums = 0;
    if (e->to_real)
        e->high = INFINITY;
}

static size_t output_bytes(const struct cpu_epilogue *e)
{
    return (e->to_real || e->to_sums ? 4u : 1u) * CPU_BLOCK;
}

struct conv_case {
    struct cpu_epilogue epilogue;
    struct cpu_add add;
    struct cpu_conv_row row;
    const void *runs[CPU_MAX_RUNS];
    struct cpu_segment segments[2 * CPU_MAX_RUNS];
    uint32_t n_granules; // of all segments
    uint32_t n_runs;
    size_t run_bytes;
};

// Each run whole, or in two pieces with granules left out between, or not at all. `length` is a
// multiple of `whole`, and so are the pieces.
static void make_segments(struct round *round, struct conv_case *c, uint32_t n_runs,
                          uint32_t length)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < n_runs; r++) {
        uint32_t whole = round->whole, n_whole = length / whole;
        uint32_t cut = whole * (uint32_t)random_in(round->random, 0, 2 * n_whole);
        if (round->repeats || cut >= length) {
            c->segments[n++] = (struct cpu_segment){r, 0, length};
        } else if (cut > 0) {
            uint32_t next = whole * (uint32_t)random_in(round->random, cut / whole, n_whole);
            c->segments[n++] = (struct cpu_segment){r, 0, cut};
            if (next < length)
                c->segments[n++] = (struct cpu_segment){r, next, length - next};
        }
    }
    c->row.segments = c->segments;
    c->row.n_segments = n;
    c->n_granules = 0;
    for (uint32_t i = 0; i < n; i++)
        c->n_granules += c->segments[i].length;
}

// `element`: bytes of an input value; `granule`: values of a granule.
static void make_conv(struct round *round, struct guard *guard, struct conv_case *c, bool real,
                      size_t element, size_t granule)
{
    uint32_t n_runs = (uint32_t)size(round, 10, 3), length = (uint32_t)size(round, 30, 24);
    int64_t pixels = size(round, round->whole > 1 ? 150 : 40, 80);
    length = (length + round->whole - 1) / round->whole * round->whole;
    size_t unit = element * granule, step = unit * (size_t)size(round, 6, 8);
    size_t bytes = (size_t)(pixels - 1) * step + length * unit;
    make_epilogue(round, guard, &c->epilogue);
    if (real)
        c->epilogue.to_real = 1;
    else
        c->epilogue.to_sums = random_in(round->random, 0, 4) == 0;
    c->n_runs = n_runs;
    c->run_bytes = bytes;
    for (uint32_t r = 0; r < n_runs; r++)
        c->runs[r] = real ? (void *)random_reals(round, guard, bytes / element, 1.0f)
                          : random_bytes(round, guard, bytes);
    c->row = (struct cpu_conv_row){.runs = c->runs,
                                   .step = step,
                                   .pixels = pixels,
                                   .epilogue = &c->epilogue,
                                   .y_step = output_bytes(&c->epilogue)};
    make_segments(round, c, n_runs, length);
    size_t n_weights = (size_t)c->n_granules * granule * CPU_BLOCK;
    c->row.weights = real ? (void *)random_reals(round, guard, n_weights, 1.0f)
                          : random_bytes(round, guard, n_weights * element);
}

// Values of a centred 8-bit tensor and weights, not all of int16.
static void limit_s16(const void *values, size_t count)
{
    int16_t *x = (int16_t *)(uintptr_t)values;
    for (size_t i = 0; i < count; i++)
        x[i] = (int16_t)(x[i] % 256);
}

static struct cpu_add make_add(struct random *r)
{
    const bool ties = random_in(r, 0, 2) == 0;
    const float low = (float)random_in(r, -128, 0);
    return (struct cpu_add){.a_ratio = ties ? 0.5f : random_real(r, 0.01f, 2.0f),
                            .b_ratio = ties ? 0.5f : random_real(r, 0.01f, 2.0f),
                            .offset = (float)random_in(r, -400, 400) / (ties ? 2.0f : 3.0f),
                            .low = low,
                            .high = low + 255,
                            .a_signed = (uint32_t)random_in(r, 0, 1),
                            .b_signed = (uint32_t)random_in(r, 0, 1)};
}

// One in two quantised results meets a residual.
static void make_residual(struct round *round, struct guard *guard, struct conv_case *c)
{
    struct random *r = round->random;
    c->epilogue.add = NULL;
    if (c->epilogue.to_real || c->epilogue.to_sums || random_in(r, 0, 1))
        return;
    c->add = make_add(r);
    c->add.residual_is_a = (uint32_t)random_in(r, 0, 1);
    c->epilogue.add = &c->add;
    c->epilogue.residual = random_bytes(round, guard, (size_t)c->row.pixels * CPU_BLOCK);
    c->epilogue.residual_step = CPU_BLOCK;
}

static void run_conv(struct round *round, struct guard *guard, struct conv_case *c)
{
    size_t bytes = (size_t)c->row.pixels * c->row.y_step;
    make_residual(round, guard, c);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_conv_s16_fn, want, have, bytes, (c->row.y = y, &c->row));
}

static void check_conv_s16(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, false, 2, 2);
    for (uint32_t r = 0; r < c.n_runs; r++)
        limit_s16(c.runs[r], c.run_bytes / 2);
    limit_s16(c.row.weights, (size_t)c.n_granules * 2 * CPU_BLOCK);
    run_conv(round, guard, &c);
}

static void check_conv_dot(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, false, 1, 4);
    run_conv(round, guard, &c);
}

static void check_conv_sdot(struct round *round, struct guard *guard)
{
    check_conv_dot(round, guard);
}

static void check_conv_matrix(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, false, 1, 8);
    run_conv(round, guard, &c);
}

static void check_conv_f32(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, true, 4, 1);
    run_conv(round, guard, &c);
}

static void check_widen(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 5120);
    uint32_t is_signed = (uint32_t)random_in(round->random, 0, 1);
    int32_t zero = (int32_t)random_in(round->random, is_signed ? -128 : 0, is_signed ? 127 : 255);
    size_t bytes = (size_t)count * 2;
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_widen_fn, want, have, bytes, x, y, count, zero, is_signed);
}

static void check_widen_planes(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 100, 640), channels = size(round, 4, 2);
    int64_t plane = count + random_in(round->random, 0, 9);
    uint32_t is_signed = (uint32_t)random_in(round->random, 0, 1);
    int32_t zero = (int32_t)random_in(round->random, is_signed ? -128 : 0, is_signed ? 127 : 255);
    size_t bytes = (size_t)(count * channels) * 2;
    const uint8_t *x = random_bytes(round, guard, (size_t)(plane * (channels - 1) + count));
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_widen_planes_fn, want, have, bytes, x, plane, channels, y, count, zero,
             is_signed);
}

static void check_add_q8(struct round *round, struct guard *guard)
{
    struct random *r = round->random;
    int64_t count = size(round, 200, 4096);
    const struct cpu_add add = make_add(r);
    const uint8_t *a = random_bytes(round, guard, (size_t)count);
    const uint8_t *b = random_bytes(round, guard, (size_t)count);
    void *want = guard_take(guard, (size_t)count), *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_add_q8_fn, want, have, (size_t)count, &add, a, b, y, count);
}

static struct cpu_quant make_quant(struct random *r)
{
    struct cpu_quant quant = {.scale = random_in(r, 0, 1) ? 0.25f : random_real(r, 0.001f, 0.1f),
                              .is_signed = (uint32_t)random_in(r, 0, 1)};
    int low = quant.is_signed ? -128 : 0;
    quant.zero = (int32_t)random_in(r, low, low + 255);
    quant.low = (float)(low - quant.zero);
    quant.high = (float)(low + 255 - quant.zero);
    return quant;
}

static void check_quantize(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    struct cpu_quant quant = make_quant(round->random);
    float *x = random_reals(round, guard, (size_t)count, 40.0f);
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0.125f, 0.375f, -0.125f, -0.0f};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
        x[random_in(round->random, 0, count - 1)] = odd[i];
    void *want = guard_take(guard, (size_t)count), *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_quantize_fn, want, have, (size_t)count, &quant, x, y, count);
}

static void check_dequantize(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    struct cpu_quant quant = make_quant(round->random);
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    size_t bytes = (size_t)count * sizeof(float);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_dequantize_fn, want, have, bytes, &quant, x, y, count);
}

static void check_lookup(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 300, 4096);
    const uint8_t *table = random_bytes(round, guard, 256);
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    void *want = guard_take(guard, (size_t)count), *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_lookup_fn, want, have, (size_t)count, table, x, y, count);
}

static void check_depthwise_s16(struct round *round, struct guard *guard)
{
    struct conv_case c;
    uint32_t n_runs = (uint32_t)size(round, 25, 9);
    int64_t pixels = size(round, 40, 80);
    size_t step = 2 * CPU_BLOCK * (size_t)size(round, 3, 2);
    size_t bytes = (size_t)(pixels - 1) * step + 2 * CPU_BLOCK;
    make_epilogue(round, guard, &c.epilogue);
    for (uint32_t r = 0; r < n_runs; r++) {
        c.runs[r] = random_bytes(round, guard, bytes);
        limit_s16(c.runs[r], bytes / 2);
    }
    c.row = (struct cpu_conv_row){.runs = c.runs,
                                  .step = step,
                                  .pixels = pixels,
                                  .epilogue = &c.epilogue,
                                  .y_step = output_bytes(&c.epilogue)};
    make_segments(round, &c, n_runs, 1);
    c.row.weights = random_bytes(round, guard, c.n_granules * 2u * CPU_BLOCK);
    limit_s16(c.row.weights, (size_t)c.n_granules * CPU_BLOCK);
    run_conv(round, guard, &c);
}

static void check_winograd_input(struct round *round, struct guard *guard)
{
    struct cpu_winograd_input job = {.tiles = size(round, 12, 40),
                                     .depth = CPU_BLOCK * size(round, 3, 2)};
    size_t values = (size_t)((2 * job.tiles + 2) * job.depth);
    for (int i = 0; i < 4; i++) {
        job.rows[i] = random_bytes(round, guard, 2 * values);
        limit_s16(job.rows[i], values);
    }
    job.plane = (size_t)(job.tiles * job.depth);
    size_t bytes = CPU_WINOGRAD * job.plane * sizeof(int16_t);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_winograd_input_fn, want, have, bytes, (job.v = y, &job));
}

static void check_winograd_output(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_epilogue(round, guard, &c.epilogue);
    struct cpu_winograd_output job = {.pixels = size(round, 25, 80),
                                      .rows = (uint32_t)size(round, 2, 2),
                                      .epilogue = &c.epilogue,
                                      .y_step = output_bytes(&c.epilogue)};
    int64_t tiles = (job.pixels + 1) / 2;
    job.plane = (size_t)tiles * CPU_BLOCK;
    job.y_row = (size_t)job.pixels * job.y_step;
    int32_t *m = random_bytes(round, guard, CPU_WINOGRAD * job.plane * sizeof(*m));
    for (size_t i = 0; i < CPU_WINOGRAD * job.plane; i++)
        m[i] >>= 4;
    job.m = m;
    c.row.pixels = job.pixels * job.rows;
    make_residual(round, guard, &c);
    size_t bytes = job.rows * job.y_row;
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_winograd_output_fn, want, have, bytes, (job.y = y, &job));
}

static void check_gather(struct round *round, struct guard *guard)
{
    struct random *r = round->random;
    enum { SOURCES = 3, GROUPS = 4 };
    const uint8_t *x[SOURCES];
    size_t steps[SOURCES];
    struct cpu_gather_part parts[GROUPS * SOURCES];
    struct cpu_gather job = {.x = x, .x_steps = steps, .parts = parts};
    uint32_t groups = (uint32_t)size(round, GROUPS, 2);
    job.pixels = size(round, 30, 80);
    job.y_step = groups * (size_t)CPU_BLOCK;
    for (int i = 0; i < SOURCES; i++) {
        steps[i] = CPU_BLOCK * (size_t)random_in(r, 1, 3);
        x[i] = random_bytes(round, guard, (size_t)job.pixels * steps[i]);
    }
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t first = job.n_parts, count = (uint32_t)random_in(r, 1, SOURCES);
        job.n_parts += count;
        for (uint32_t k = first; k < first + count; k++) {
            uint32_t source = (uint32_t)random_in(r, 0, SOURCES - 1);
            int64_t offset = random_in(r, 0, (int64_t)steps[source] / CPU_BLOCK - 1);
            parts[k] = (struct cpu_gather_part){
                .source = source, .offset = (uint32_t)offset * CPU_BLOCK, .channel = g * CPU_BLOCK};
            memset(parts[k].mask, 0x80, sizeof(parts[k].mask));
        }
        for (int i = 0; i < 16; i++)
            parts[first + (uint32_t)random_in(r, 0, count - 1)].mask[i] =
                (uint8_t)random_in(r, 0, 15);
    }
    size_t bytes = (size_t)job.pixels * job.y_step;
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_gather_fn, want, have, bytes, (job.y = y, &job));
}

static void check_depthwise_f32(struct round *round, struct guard *guard)
{
    struct conv_case c;
    uint32_t n_runs = (uint32_t)size(round, 25, 9);
    int64_t pixels = size(round, 40, 80);
    size_t step = 4 * CPU_BLOCK * (size_t)size(round, 3, 2);
    size_t bytes = (size_t)(pixels - 1) * step + 4 * CPU_BLOCK;
    make_epilogue(round, guard, &c.epilogue);
    c.epilogue.to_real = 1;
    for (uint32_t r = 0; r < n_runs; r++)
        c.runs[r] = random_reals(round, guard, bytes / sizeof(float), 1.0f);
    c.row = (struct cpu_conv_row){.runs = c.runs,
                                  .step = step,
                                  .pixels = pixels,
                                  .epilogue = &c.epilogue,
                                  .y_step = output_bytes(&c.epilogue)};
    make_segments(round, &c, n_runs, 1);
    c.row.weights = random_reals(round, guard, c.n_granules * CPU_BLOCK, 1.0f);
    run_conv(round, guard, &c);
}

static void check_unary_f32(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    float *x = random_reals(round, guard, (size_t)count, 12.0f);
    struct cpu_unary f = {(unsigned)random_in(round->random, CPU_CLAMP, CPU_HARD_SWISH), -1.5f,
                          2.5f};
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e30f, -1e30f, 89.0f};
    for (int i = 0; i < 4; i++)
        x[random_in(round->random, 0, count - 1)] = odd[random_in(round->random, 0, 7)];
    size_t bytes = (size_t)count * sizeof(float);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_unary_f32_fn, want, have, bytes, &f, x, y, count);
}

static void check_binary_f32(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    const float *a = random_reals(round, guard, (size_t)count, 12.0f);
    const float *b = random_reals(round, guard, (size_t)count, 12.0f);
    enum cpu_binary kind = (enum cpu_binary)random_in(round->random, CPU_ADD, CPU_DIV);
    size_t bytes = (size_t)count * sizeof(float);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_binary_f32_fn, want, have, bytes, kind, a, b, y, count);
}

static void check_max_q8(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    uint32_t is_signed = (uint32_t)random_in(round->random, 0, 1);
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    void *want = guard_take(guard, (size_t)count), *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_max_q8_fn, want, have, (size_t)count, x, y, count, is_signed);
}

static void check_max_f32(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    float *x = random_reals(round, guard, (size_t)count, 1e14f);
    x[random_in(round->random, 0, count - 1)] = NAN;
    size_t bytes = (size_t)count * sizeof(float);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_max_f32_fn, want, have, bytes, x, y, count);
}

static void check_accumulate_q8(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    uint32_t is_signed = (uint32_t)random_in(round->random, 0, 1);
    int32_t zero = (int32_t)random_in(round->random, 0, 127);
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    size_t bytes = (size_t)count * sizeof(int32_t);
    void *want = guard_take(guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_accumulate_q8_fn, want, have, bytes, x, y, count, zero, is_signed);
}

static void check_rescale_q8(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    struct cpu_quant quant = make_quant(round->random);
    float multiplier = random_in(round->random, 0, 1) ? 0.25f : 0.0137f;
    int32_t *sums = guard_take(guard, (size_t)count * sizeof(*sums));
    for (int64_t i = 0; i < count; i++)
        sums[i] = (int32_t)random_in(round->random, -3000, 3000);
    void *want = guard_take(guard, (size_t)count), *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_rescale_q8_fn, want, have, (size_t)count, &quant, multiplier, sums, y,
             count);
}

struct kernel {
    const char *slot, *name;
    enum cpu_isa needs;
    kernel_fn *function;
    void (*check)(struct round *round, struct guard *guard);
    uint32_t whole;
};
#define WHOLE(isa) ((isa) == CPU_AMX ? CPU_AMX_TILE : 1)

#if defined(SL_SIMDE)
#include "tests/accel/tile_model.h"
cpu_conv_dot_fn cpu_conv_dot_avxvnni_simde, cpu_conv_dot_avx512vnni_simde, cpu_conv_dot_amx_model;

static void check_conv_dot_tiles(struct round *round, struct guard *guard)
{
    check_conv_dot(round, guard);
    round->same = round->same && !tile_model_in_use();
}
#endif

static const struct kernel kernels[] = {
#define KERNEL(slot, isa, function)                                                                \
    {#slot, #function, isa, (kernel_fn *)function, check_##slot, WHOLE(isa)},
#include "accel/cpu/kernels.def"
#undef KERNEL
#if defined(SL_SIMDE)
    // Sources through SIMDe: their arithmetic, on machines without the instructions.
    {"conv_dot", "cpu_conv_dot_avxvnni (SIMDe)", CPU_AVX2, (kernel_fn *)cpu_conv_dot_avxvnni_simde,
     check_conv_dot, 1},
    {"conv_dot", "cpu_conv_dot_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_conv_dot_avx512vnni_simde, check_conv_dot, 1},
    {"conv_dot", "cpu_conv_dot_amx (model)", CPU_AVX2, (kernel_fn *)cpu_conv_dot_amx_model,
     check_conv_dot_tiles, CPU_AMX_TILE},
#endif
};
#define N_KERNELS (sizeof(kernels) / sizeof(*kernels))

static kernel_fn *reference_of(const char *slot)
{
    for (size_t i = 0; i < N_KERNELS; i++)
        if (kernels[i].needs == CPU_C && strcmp(kernels[i].slot, slot) == 0)
            return kernels[i].function;
    return NULL;
}

static bool check_kernel(const struct kernel *kernel, uint64_t seed, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        struct random random = {seed + (uint64_t)i * 7919};
        struct guard guard = {0};
        struct round round = {
            &random, reference_of(kernel->slot), kernel->function, kernel->whole, 0, 0.0, false};
        kernel->check(&round, &guard);
        guard_free(&guard);
        if (!round.same) {
            printf("%-14s %-36s DIFFERS in round %d of seed %llu\n", kernel->slot, kernel->name, i,
                   (unsigned long long)seed);
            return false;
        }
    }
    return true;
}

static double bench_kernel(const struct kernel *kernel, uint64_t seed)
{
    double best = 1e18;
    for (int i = 0; i < 5; i++) {
        struct random random = {seed};
        struct guard guard = {0};
        struct round round = {
            &random, reference_of(kernel->slot), kernel->function, kernel->whole, 200, 0.0, false};
        kernel->check(&round, &guard);
        guard_free(&guard);
        best = round.ns < best ? round.ns : best;
    }
    return best;
}

static int usage(FILE *to, int status)
{
    fprintf(to, "usage: kernelcheck [--bench] [--seed N] [--rounds N]\n");
    return status;
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    int rounds = 200, failed = 0, skipped = 0;
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return usage(stdout, 0);
        if (strcmp(argv[i], "--bench") == 0)
            bench = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = atoi(argv[++i]);
        else
            return usage(stderr, 2);
    }
    printf("seed %llu, %d rounds, machine: %s\n", (unsigned long long)seed, rounds,
           cpu_isa_name(cpu_isa_best()));
    for (size_t i = 0; i < N_KERNELS; i++) {
        const struct kernel *kernel = &kernels[i];
        if (!(cpu_isa_sets() & 1u << kernel->needs)) {
            printf("%-14s %-36s not run: this machine has no %s\n", kernel->slot, kernel->name,
                   cpu_isa_name(kernel->needs));
            skipped++;
            continue;
        }
        bool same = check_kernel(kernel, seed, rounds);
        failed += !same;
        if (same && bench)
            printf("%-14s %-36s ok %12.0f ns\n", kernel->slot, kernel->name,
                   bench_kernel(kernel, seed));
        else if (same)
            printf("%-14s %-36s ok\n", kernel->slot, kernel->name);
    }
    printf("%zu kernels, %d differ, %d not run\n", N_KERNELS, failed, skipped);
    return failed ? 1 : 0;
}
