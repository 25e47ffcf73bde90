// Checks of the element-wise kernels and of gather.
#include "tests/accel/kernelcheck.h"

#include <math.h>
#include <string.h>

void check_widen(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 5120);
    uint32_t is_signed = (uint32_t)random_in(round->random, 0, 1);
    int32_t zero = (int32_t)random_in(round->random, is_signed ? -128 : 0, is_signed ? 127 : 255);
    size_t bytes = (size_t)count * 2;
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_widen_fn, want, have, bytes, x, y, count, zero, is_signed);
}

void check_widen_planes(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 100, 640), channels = size(round, 4, 2);
    int64_t plane = count + random_in(round->random, 0, 9);
    uint32_t is_signed = (uint32_t)random_in(round->random, 0, 1);
    int32_t zero = (int32_t)random_in(round->random, is_signed ? -128 : 0, is_signed ? 127 : 255);
    size_t bytes = (size_t)(count * channels) * 2;
    const uint8_t *x = random_bytes(round, guard, (size_t)(plane * (channels - 1) + count));
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_widen_planes_fn, want, have, bytes, x, plane, channels, y, count, zero,
             is_signed);
}

void check_interleave(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 100, 640), channels = size(round, 4, 3);
    int64_t plane = count + random_in(round->random, 0, 9);
    int64_t step = channels + (round->bench ? 0 : random_in(round->random, 0, 1));
    uint8_t flip = random_in(round->random, 0, 1) ? 0x80 : 0;
    size_t bytes = (size_t)(count * step);
    const uint8_t *x = random_bytes(round, guard, (size_t)(plane * (channels - 1) + count));
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_interleave_fn, want, have, bytes, x, plane, channels, y, step, count, flip);
}

void check_add_q8(struct round *round, struct guard *guard)
{
    struct random *r = round->random;
    int64_t count = size(round, 200, 4096);
    const struct cpu_add add = random_add(r);
    const uint8_t *a = random_bytes(round, guard, (size_t)count);
    const uint8_t *b = random_bytes(round, guard, (size_t)count);
    void *want = random_bytes(round, guard, (size_t)count);
    void *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_add_q8_fn, want, have, (size_t)count, &add, a, b, y, count);
}

void check_mul_q8(struct round *round, struct guard *guard)
{
    struct random *r = round->random;
    const int64_t count = size(round, 200, 4096);
    const struct sl_quantised_product mul = {
        .a_zero = (int32_t)random_in(r, 0, 255),
        .b_zero = (int32_t)random_in(r, 0, 255),
        .ratio = random_in(r, 0, 1) ? 0.5f : random_real(r, 0.001f, 0.1f),
        .offset = (float)random_in(r, 0, 255),
        .low = (float)random_in(r, 0, 100),
        .high = (float)random_in(r, 101, 255)};
    const uint8_t *a = random_bytes(round, guard, (size_t)count);
    const uint8_t *b = random_bytes(round, guard, (size_t)count);
    void *want = random_bytes(round, guard, (size_t)count);
    void *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_mul_q8_fn, want, have, (size_t)count, &mul, a, b, y, count);
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

void check_quantize(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    struct cpu_quant quant = make_quant(round->random);
    float *x = random_reals(round, guard, (size_t)count, 40.0f);
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0.125f, 0.375f, -0.125f, -0.0f};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
        x[random_in(round->random, 0, count - 1)] = odd[i];
    for (int64_t i = 0; i < count / 2; i++) { // close to where rounding turns
        const float half = (float)random_in(round->random, -260, 260) + 0.5f;
        const float towards = (float)random_in(round->random, -1, 1) * 1e9f;
        x[random_in(round->random, 0, count - 1)] = nextafterf(half * quant.scale, towards);
    }
    void *want = random_bytes(round, guard, (size_t)count);
    void *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_quantize_fn, want, have, (size_t)count, &quant, x, y, count);
}

void check_dequantize(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    struct cpu_quant quant = make_quant(round->random);
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    size_t bytes = (size_t)count * sizeof(float);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_dequantize_fn, want, have, bytes, &quant, x, y, count);
}

void check_lookup(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 300, 4096);
    const uint8_t *table = random_bytes(round, guard, 256);
    const uint8_t *x = random_bytes(round, guard, (size_t)count);
    void *want = random_bytes(round, guard, (size_t)count);
    void *have = guard_take(guard, (size_t)count);
    RUN_BOTH(round, cpu_lookup_fn, want, have, (size_t)count, table, x, y, count);
}

void check_gather(struct round *round, struct guard *guard)
{
    struct random *r = round->random;
    enum { SOURCES = 9, GROUPS = 4 };
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
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_gather_fn, want, have, bytes, (job.y = y, &job));
}

void check_unary_f32(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    float *x = random_reals(round, guard, (size_t)count, 12.0f);
    struct cpu_unary f = {(unsigned)random_in(round->random, CPU_CLAMP, CPU_HARD_SWISH), -1.5f,
                          2.5f};
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e30f, -1e30f, 89.0f};
    for (int i = 0; i < 4; i++)
        x[random_in(round->random, 0, count - 1)] = odd[random_in(round->random, 0, 7)];
    size_t bytes = (size_t)count * sizeof(float);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_unary_f32_fn, want, have, bytes, &f, x, y, count);
}

void check_binary_f32(struct round *round, struct guard *guard)
{
    int64_t count = size(round, 200, 4096);
    const float *a = random_reals(round, guard, (size_t)count, 12.0f);
    const float *b = random_reals(round, guard, (size_t)count, 12.0f);
    enum cpu_binary kind = (enum cpu_binary)random_in(round->random, CPU_ADD, CPU_DIV);
    size_t bytes = (size_t)count * sizeof(float);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_binary_f32_fn, want, have, bytes, kind, a, b, y, count);
}

// 3 x 3 windows two pixels apart in a round that is timed.
static struct cpu_windows random_windows(struct round *round, size_t element, size_t *x_bytes,
                                         size_t *y_bytes)
{
    struct random *r = round->random;
    struct cpu_windows w = {.pixels = size(round, 6, 44),
                            .rows = round->bench ? 3 : random_in(r, 0, 4),
                            .columns = round->bench ? 3 : random_in(r, 0, 4),
                            .channels = size(round, 150, 32)};
    const size_t gap = round->bench ? 0 : (size_t)random_in(r, 0, 3);
    w.column_step = ((size_t)w.channels + gap) * element;
    w.row_step = (size_t)w.pixels * 2 * w.column_step;
    w.x_step = w.column_step * (round->bench ? 2 : (size_t)random_in(r, 1, 3));
    w.y_step = w.column_step;
    *x_bytes = (size_t)(w.pixels - 1) * w.x_step + (size_t)w.channels * element;
    *x_bytes += w.rows ? (size_t)(w.rows - 1) * w.row_step : 0;
    *x_bytes += w.columns ? (size_t)(w.columns - 1) * w.column_step : 0;
    *y_bytes = (size_t)(w.pixels - 1) * w.y_step + (size_t)w.channels * element;
    return w;
}

void check_max_q8(struct round *round, struct guard *guard)
{
    size_t x_bytes, bytes;
    struct cpu_windows w = random_windows(round, 1, &x_bytes, &bytes);
    uint32_t is_signed = (uint32_t)random_in(round->random, 0, 1);
    w.x = random_bytes(round, guard, x_bytes);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_max_q8_fn, want, have, bytes, (w.y = y, &w), is_signed);
}

void check_max_f32(struct round *round, struct guard *guard)
{
    size_t x_bytes, bytes;
    struct cpu_windows w = random_windows(round, sizeof(float), &x_bytes, &bytes);
    const size_t count = x_bytes / sizeof(float);
    float *x = random_reals(round, guard, count, 1e14f);
    x[random_in(round->random, 0, (int64_t)count - 1)] = NAN;
    w.x = x;
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_max_f32_fn, want, have, bytes, (w.y = y, &w));
}

void check_average_q8(struct round *round, struct guard *guard)
{
    size_t x_bytes, bytes;
    struct cpu_windows w = random_windows(round, 1, &x_bytes, &bytes);
    const struct cpu_quant quant = make_quant(round->random);
    const struct cpu_average average = {
        .x_zero = (int32_t)random_in(round->random, -128, 255),
        .x_signed = (uint32_t)random_in(round->random, 0, 1),
        .y_zero = quant.zero,
        .multiplier = random_in(round->random, 0, 1) ? 0.25f : 0.0137f,
        .low = quant.low,
        .high = quant.high,
    };
    w.x = random_bytes(round, guard, x_bytes);
    void *want = random_bytes(round, guard, bytes), *have = guard_take(guard, bytes);
    RUN_BOTH(round, cpu_average_q8_fn, want, have, bytes, (w.y = y, &w), &average);
}
