// Checks of the convolution kernels: rows with zero weights left out, every kind of output, and
// Winograd's transforms.
#include "tests/accel/kernelcheck.h"

#include <math.h>

enum { MOST_BIAS = 1 << 25 };

static void make_epilogue(struct round *round, struct guard *guard, struct cpu_epilogue *e,
                          size_t channels)
{
    int32_t *bias = guard_take(guard, channels * sizeof(*bias));
    float *multiplier = random_reals(round, guard, channels, 1.0f);
    bool is_signed = random_in(round->random, 0, 1), rectified = random_in(round->random, 0, 1);
    bool large = !rectified && random_in(round->random, 0, 1);
    e->shrinks = 1;
    e->saturates = rectified;
    for (size_t i = 0; i < channels; i++) {
        const int64_t most = random_in(round->random, 0, 7) ? 100000 : MOST_BIAS;
        bias[i] = (int32_t)random_in(round->random, -most, most);
        // Now and then a multiplier for which everything saturates, and one that gives ties.
        int64_t kind = random_in(round->random, 0, 7);
        multiplier[i] = kind == 0 && large ? 1e6f
                        : kind == 1        ? 0.5f
                                           : fabsf(multiplier[i]) * 0.001f;
        multiplier[i] = rectified ? fmaxf(multiplier[i], 0x1p-15f) : multiplier[i];
        e->shrinks &= multiplier[i] < 1;
    }
    const int32_t lowest = is_signed ? -128 : 0;
    e->zero = lowest + (int32_t)random_in(round->random, 0, rectified ? 20 : 255);
    e->low = (float)((is_signed ? -128 : 0) - e->zero);
    e->high = (float)((is_signed ? 127 : 255) - e->zero);
    e->y_signed = is_signed;
    e->low = rectified ? 0 : e->low;
    e->low += (float)random_in(round->random, 0, 3) * 20;
    e->high -= (float)random_in(round->random, 0, 3) * 20;
    e->bias = bias;
    e->multiplier = multiplier;
    e->bias_real = random_reals(round, guard, channels, 1.0f);
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
// multiple of `whole`, and so are the pieces. Returns how many there are.
static uint32_t make_pieces(struct round *round, struct cpu_segment *segments, uint32_t n_runs,
                            uint32_t length, uint32_t whole)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < n_runs; r++) {
        uint32_t n_whole = length / whole;
        uint32_t cut = whole * (uint32_t)random_in(round->random, 0, 2 * n_whole);
        if (round->bench || cut >= length) {
            segments[n++] = (struct cpu_segment){r, 0, length};
        } else if (cut > 0) {
            uint32_t next = whole * (uint32_t)random_in(round->random, cut / whole, n_whole);
            segments[n++] = (struct cpu_segment){r, 0, cut};
            if (next < length)
                segments[n++] = (struct cpu_segment){r, next, length - next};
        }
    }
    return n;
}

static uint32_t count_granules(const struct cpu_segment *segments, uint32_t n_segments)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_segments; i++)
        n += segments[i].length;
    return n;
}

static void make_segments(struct round *round, struct conv_case *c, uint32_t n_runs,
                          uint32_t length)
{
    c->row.segments = c->segments;
    c->row.n_segments = make_pieces(round, c->segments, n_runs, length, 1);
    c->n_granules = count_granules(c->segments, c->row.n_segments);
}

// The sums of so many products may be larger than what `saturates` says.
static void limit_sums(struct cpu_epilogue *e, size_t products)
{
    e->saturates &= products * 255 * 256 < (1 << 26) - MOST_BIAS;
}

// `element`: bytes of an input value; `granule`: values of a granule; `blocks` of output channels.
static void make_conv(struct round *round, struct guard *guard, struct conv_case *c, bool real,
                      size_t element, size_t granule, size_t blocks)
{
    uint32_t n_runs = (uint32_t)size(round, 10, 3), length = (uint32_t)size(round, 30, 24);
    int64_t pixels = size(round, 40, 80);
    size_t unit = element * granule, step = unit * (size_t)size(round, 6, 8);
    size_t bytes = (size_t)(pixels - 1) * step + length * unit;
    make_epilogue(round, guard, &c->epilogue, blocks * CPU_BLOCK);
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
                                   .y_step = blocks * output_bytes(&c->epilogue)};
    make_segments(round, c, n_runs, length);
    size_t n_weights = (size_t)c->n_granules * granule * CPU_BLOCK;
    limit_sums(&c->epilogue, (size_t)c->n_granules * granule);
    c->row.weights = real ? (void *)random_reals(round, guard, n_weights, 1.0f)
                          : random_bytes(round, guard, n_weights * element);
    if (blocks > 1)
        c->row.next_weights = random_bytes(round, guard, n_weights * element);
}

// Values of a centred 8-bit tensor and weights, not all of int16.
static void limit_s16(const void *values, size_t count)
{
    int16_t *x = (int16_t *)(uintptr_t)values;
    for (size_t i = 0; i < count; i++)
        x[i] = (int16_t)(x[i] % 256);
}

struct cpu_add random_add(struct random *r)
{
    const bool ties = random_in(r, 0, 2) == 0;
    const bool is_signed = random_in(r, 0, 1);
    const float low = is_signed ? (float)random_in(r, -128, 0) : 0;
    return (struct cpu_add){.a_ratio = ties ? 0.5f : random_real(r, 0.01f, 2.0f),
                            .b_ratio = ties ? 0.5f : random_real(r, 0.01f, 2.0f),
                            .offset = (float)random_in(r, -400, 400) / (ties ? 2.0f : 3.0f),
                            .low = low,
                            .high = is_signed ? 127 : 255,
                            .a_signed = (uint32_t)random_in(r, 0, 1),
                            .b_signed = (uint32_t)random_in(r, 0, 1)};
}

// One in two quantised results meets a residual.
static void make_residual(struct round *round, struct guard *guard, struct conv_case *c,
                          size_t step)
{
    struct random *r = round->random;
    c->epilogue.add = NULL;
    if (c->epilogue.to_real || c->epilogue.to_sums || random_in(r, 0, 1))
        return;
    c->add = random_add(r);
    c->add.residual_is_a = (uint32_t)random_in(r, 0, 1);
    c->epilogue.add = &c->add;
    c->epilogue.residual = random_bytes(round, guard, (size_t)c->row.pixels * step);
    c->epilogue.residual_step = step;
}

static void run_conv(struct round *round, struct guard *guard, struct conv_case *c)
{
    size_t bytes = (size_t)c->row.pixels * c->row.y_step;
    make_residual(round, guard, c, (c->row.next_weights ? 2 : 1) * CPU_BLOCK);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_conv_s16_fn, want, have, bytes, (c->row.y = y, &c->row));
}

void check_conv_s16(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, false, 2, 2, 1);
    for (uint32_t r = 0; r < c.n_runs; r++)
        limit_s16(c.runs[r], c.run_bytes / 2);
    limit_s16(c.row.weights, (size_t)c.n_granules * 2 * CPU_BLOCK);
    run_conv(round, guard, &c);
}

void check_conv_dot(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, false, 1, 4, 1);
    run_conv(round, guard, &c);
}

void check_conv_dot_pair(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, false, 1, 4, 2);
    run_conv(round, guard, &c);
}

enum { MAX_BAND = 5, MAX_BLOCKS = 5, MAX_PIECES = 12 };
struct band_case {
    struct conv_case conv;
    struct cpu_conv_band band;
    const void *runs[MAX_BAND][CPU_MAX_RUNS];
    struct cpu_conv_block blocks[MAX_BLOCKS];
    struct cpu_segment segments[MAX_BLOCKS][MAX_PIECES];
};

// Some blocks have the segments of the one before them, with which they are computed.
static void make_blocks(struct round *round, struct guard *guard, struct band_case *c,
                        uint32_t n_runs, uint32_t length)
{
    for (int64_t b = 0; b < c->band.n_blocks; b++) {
        struct cpu_conv_block *block = &c->blocks[b];
        const bool second = b > 1 && block[-2].pairs;
        const bool pairs = b > 0 && !second && random_in(round->random, 0, 2) > 0;
        block->n_segments = make_pieces(round, c->segments[b], n_runs, length, c->band.granules);
        block->segments = c->segments[b];
        block->pairs = false;
        if (pairs || (round->bench && b % 2)) {
            block[-1].pairs = true;
            block->segments = block[-1].segments;
            block->n_segments = block[-1].n_segments;
        }
        const uint32_t granules = count_granules(block->segments, block->n_segments);
        block->weights = random_bytes(round, guard, (size_t)granules * 4 * CPU_BLOCK);
    }
}

void check_conv_tiles(struct round *round, struct guard *guard)
{
    struct band_case c = {.band = {.rows = size(round, MAX_BAND, 4),
                                   .pixels = CPU_LEAST_ROW - 1 + size(round, 70, 77),
                                   .granules = (uint32_t)size(round, CPU_TILE, 12),
                                   .n_blocks = size(round, MAX_BLOCKS, 4)}};
    struct cpu_conv_band *band = &c.band;
    struct cpu_epilogue *e = &c.conv.epilogue;
    const uint32_t n_runs = (uint32_t)size(round, MAX_PIECES / 2, 3);
    const uint32_t length = band->granules * (uint32_t)size(round, 3, 2);
    const size_t channels = (size_t)band->n_blocks * CPU_BLOCK;
    band->step = 4 * (size_t)size(round, 24, 16);
    make_epilogue(round, guard, e, channels);
    e->to_sums = random_in(round->random, 0, 4) == 0;
    limit_sums(e, (size_t)n_runs * length * 4);
    const size_t bytes = (size_t)(band->pixels - 1) * band->step + (size_t)length * 4;
    for (int64_t row = 0; row < band->rows; row++)
        for (uint32_t r = 0; r < n_runs; r++)
            c.runs[row][r] = random_bytes(round, guard, bytes);
    make_blocks(round, guard, &c, n_runs, length);
    const size_t gap = round->bench ? 0 : CPU_BLOCK * (size_t)random_in(round->random, 0, 1);
    c.conv.row = (struct cpu_conv_row){.pixels = band->rows * (band->pixels + 1)};
    make_residual(round, guard, &c.conv, channels + gap);
    band->runs = (const void *const(*)[CPU_MAX_RUNS])c.runs;
    band->blocks = c.blocks;
    band->epilogue = e;
    // Rows and pixels may stand in a wider map.
    band->residual_row = (size_t)band->pixels * e->residual_step + gap;
    band->y_step = channels * cpu_element(e) + gap * cpu_element(e);
    band->y_row = (size_t)band->pixels * band->y_step + gap * cpu_element(e);
    const size_t out = (size_t)band->rows * band->y_row;
    void *want = random_bytes(round, guard, out), *have = guard_take(guard, out);
    RUN_BOTH(round, cpu_conv_tiles_fn, want, have, out, (band->y = y, band));
}

void check_conv_sdot(struct round *round, struct guard *guard)
{
    check_conv_dot(round, guard);
}

void check_conv_matrix(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, false, 1, 8, 1);
    run_conv(round, guard, &c);
}

void check_conv_f32(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_conv(round, guard, &c, true, 4, 1, 1);
    run_conv(round, guard, &c);
}

void check_depthwise_s16(struct round *round, struct guard *guard)
{
    struct conv_case c;
    uint32_t n_runs = (uint32_t)size(round, 25, 9);
    int64_t pixels = size(round, 40, 80);
    size_t step = 2 * CPU_BLOCK * (size_t)size(round, 3, 2);
    size_t bytes = (size_t)(pixels - 1) * step + 2 * CPU_BLOCK;
    make_epilogue(round, guard, &c.epilogue, CPU_BLOCK);
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

// Weights of rows of taps: what belongs to none is zero.
static void *random_taps(struct round *round, struct guard *guard, uint32_t rows, uint32_t taps)
{
    const uint32_t granules = cpu_tap_granules(taps);
    const size_t bytes = (size_t)rows * granules * CPU_TAPS * CPU_BLOCK;
    unsigned char *weights = random_bytes(round, guard, bytes);
    bool used[2 * CPU_TAPS] = {false};
    for (uint32_t k = 0; k < taps; k++)
        used[cpu_tap_place(taps, k)] = true;
    for (size_t i = 0; i < bytes; i++) {
        const size_t granule = i / (CPU_TAPS * CPU_BLOCK) % granules;
        if (!used[granule * CPU_TAPS + i % CPU_TAPS])
            weights[i] = 0;
    }
    return weights;
}

void check_depthwise_dot(struct round *round, struct guard *guard)
{
    struct conv_case c;
    const uint32_t taps = 3 + 2 * (uint32_t)(round->bench ? 0 : random_in(round->random, 0, 2));
    const uint32_t stride = round->bench ? 1 : (uint32_t)random_in(round->random, 1, 2);
    uint32_t n_runs = (uint32_t)size(round, taps, taps);
    int64_t pixels = size(round, 40, 80);
    size_t tap_step = CPU_BLOCK * (size_t)size(round, 3, 2);
    size_t bytes = ((size_t)(pixels - 1) * stride + taps - 1) * tap_step + CPU_BLOCK;
    make_epilogue(round, guard, &c.epilogue, CPU_BLOCK);
    c.epilogue.to_sums = random_in(round->random, 0, 4) == 0;
    for (uint32_t r = 0; r < n_runs; r++)
        c.runs[r] = random_bytes(round, guard, bytes);
    c.row = (struct cpu_conv_row){.runs = c.runs,
                                  .step = stride * tap_step,
                                  .taps = taps,
                                  .tap_step = tap_step,
                                  .pixels = pixels,
                                  .epilogue = &c.epilogue,
                                  .y_step = output_bytes(&c.epilogue)};
    make_segments(round, &c, n_runs, 1);
    c.row.weights = random_taps(round, guard, c.row.n_segments, taps);
    run_conv(round, guard, &c);
}

void check_depthwise_f32(struct round *round, struct guard *guard)
{
    struct conv_case c;
    uint32_t n_runs = (uint32_t)size(round, 25, 9);
    int64_t pixels = size(round, 40, 80);
    size_t step = 4 * CPU_BLOCK * (size_t)size(round, 3, 2);
    size_t bytes = (size_t)(pixels - 1) * step + 4 * CPU_BLOCK;
    make_epilogue(round, guard, &c.epilogue, CPU_BLOCK);
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

void check_winograd_input(struct round *round, struct guard *guard)
{
    struct cpu_winograd_input job = {.stride = (uint32_t)random_in(round->random, 1, 2),
                                     .tiles = size(round, 12, 40),
                                     .depth = CPU_BLOCK * size(round, 3, 2)};
    int64_t columns = 4 * job.stride * (job.tiles - 1) + cpu_winograd_side(job.stride);
    size_t values = (size_t)(columns * job.depth);
    uint32_t side = cpu_winograd_side(job.stride);
    for (uint32_t i = 0; i < side; i++) {
        job.rows[i] = random_bytes(round, guard, 2 * values);
        limit_s16(job.rows[i], values);
    }
    job.plane = (size_t)(job.tiles * job.depth);
    size_t bytes = side * side * job.plane * sizeof(int16_t);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_winograd_input_fn, want, have, bytes, (job.v = y, &job));
}

void check_winograd_output(struct round *round, struct guard *guard)
{
    struct conv_case c;
    make_epilogue(round, guard, &c.epilogue, CPU_BLOCK);
    struct cpu_winograd_output job = {.stride = (uint32_t)random_in(round->random, 1, 2),
                                      .pixels = size(round, 25, 80),
                                      .rows = (uint32_t)size(round, 4, 4),
                                      .epilogue = &c.epilogue,
                                      .y_step = output_bytes(&c.epilogue)};
    int64_t tiles = (job.pixels + 3) / 4;
    job.plane = (size_t)tiles * CPU_BLOCK;
    job.y_row = (size_t)job.pixels * job.y_step;
    job.residual_row = (size_t)job.pixels * CPU_BLOCK;
    size_t sums = cpu_winograd_side(job.stride) * cpu_winograd_side(job.stride) * job.plane;
    int32_t *m = random_bytes(round, guard, sums * sizeof(*m));
    for (size_t i = 0; i < sums; i++)
        m[i] >>= 4;
    job.m = m;
    c.row = (struct cpu_conv_row){.pixels = job.pixels * job.rows};
    make_residual(round, guard, &c, CPU_BLOCK);
    size_t bytes = job.rows * job.y_row;
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_winograd_output_fn, want, have, bytes, (job.y = y, &job));
}
