// Steps that convert a tensor between the plain layout and NHWC.
#include "accel/cpu/compile.h"

#include <string.h>

struct layout_state {
    uint32_t from, to, element;
    bool to_nhwc;
    int64_t channels, padded, width, pixels;
};

// A block of pixels of one picture, small enough to stay in the first-level cache. Planes are often
// a power of two apart, so only a few are touched at a time.
#define BLOCK 64

// Rows of N values become columns: interleaving the first half of the rows with the second turns
// them a little, log2(N) times. Rows of x from `have` on count as zeros, rows of y from `want` on
// are not written.
// clang-format off
#define DEFINE_TURN(suffix, T, N, ROUNDS, LOW, HIGH)                                               \
    typedef T row_##suffix __attribute__((vector_size(N * sizeof(T))));                            \
    static void turn_##suffix(const T *x, int64_t x_step, int64_t have, T *y, int64_t y_step,      \
                              int64_t want)                                                        \
    {                                                                                              \
        row_##suffix rows[N], turned[N];                                                           \
        for (int64_t i = 0; i < N; i++) {                                                          \
            rows[i] = (row_##suffix){0};                                                           \
            if (i < have)                                                                          \
                memcpy(&rows[i], x + i * x_step, sizeof(*rows));                                   \
        }                                                                                          \
        for (int round = 0; round < ROUNDS; round++) {                                             \
            for (int i = 0; i < N / 2; i++) {                                                      \
                turned[2 * i] = __builtin_shufflevector(rows[i], rows[i + N / 2], LOW);            \
                turned[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + N / 2], HIGH);       \
            }                                                                                      \
            memcpy(rows, turned, sizeof(rows));                                                    \
        }                                                                                          \
        for (int64_t i = 0; i < want && i < N; i++)                                                \
            memcpy(y + i * y_step, &rows[i], sizeof(*rows));                                       \
    }
#define LOW_4   0, 4, 1, 5
#define HIGH_4  2, 6, 3, 7
#define LOW_16  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
// clang-format on
DEFINE_TURN(u8, uint8_t, 16, 4, LOW_16, HIGH_16)
DEFINE_TURN(u32, uint32_t, 4, 2, LOW_4, HIGH_4)

#define DEFINE_CONVERSION(suffix, T, N)                                                            \
    static void to_nhwc_##suffix(const struct layout_state *s, const T *x, T *y, int64_t count)    \
    {                                                                                              \
        int64_t whole = count / N * N;                                                             \
        for (int64_t c = 0; c < s->channels; c += N)                                               \
            for (int64_t i = 0; i < whole; i += N)                                                 \
                turn_##suffix(x + c * s->pixels + i, s->pixels, s->channels - c,                   \
                              y + i * s->padded + c, s->padded, N);                                \
        for (int64_t i = whole; i < count; i++)                                                    \
            for (int64_t c = 0; c < s->channels; c++)                                              \
                y[i * s->padded + c] = x[c * s->pixels + i];                                       \
    }                                                                                              \
    static void to_plain_##suffix(const struct layout_state *s, const T *x, T *y, int64_t count)   \
    {                                                                                              \
        int64_t whole = count / N * N;                                                             \
        for (int64_t c = 0; c < s->channels; c += N)                                               \
            for (int64_t i = 0; i < whole; i += N)                                                 \
                turn_##suffix(x + i * s->padded + c, s->padded, N, y + c * s->pixels + i,          \
                              s->pixels, s->channels - c);                                         \
        for (int64_t i = whole; i < count; i++)                                                    \
            for (int64_t c = 0; c < s->channels; c++)                                              \
                y[c * s->pixels + i] = x[i * s->padded + c];                                       \
    }                                                                                              \
    static void run_##suffix(const struct cpu_program *program, const struct cpu_step *step,       \
                             int64_t first, int64_t end)                                           \
    {                                                                                              \
        const struct layout_state *s = step->state;                                                \
        const T *x = cpu_data(program, s->from);                                                   \
        T *y = cpu_data(program, s->to);                                                           \
        for (int64_t at = first * s->width, count; at < end * s->width; at += count) {             \
            int64_t n = at / s->pixels, pixel = at % s->pixels, left = end * s->width - at;        \
            count = s->pixels - pixel < BLOCK ? s->pixels - pixel : BLOCK;                         \
            count = left < count ? left : count;                                                   \
            int64_t plain = n * s->channels * s->pixels + pixel, nhwc = at * s->padded;            \
            if (s->to_nhwc)                                                                        \
                to_nhwc_##suffix(s, x + plain, y + nhwc, count);                                   \
            else                                                                                   \
                to_plain_##suffix(s, x + nhwc, y + plain, count);                                  \
        }                                                                                          \
    }
DEFINE_CONVERSION(u8, uint8_t, 16)
DEFINE_CONVERSION(u32, uint32_t, 4)

static void run_layout(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, int64_t first, int64_t end)
{
    const struct layout_state *s = step->state;
    (void)part;
    if (s->element == 1)
        run_u8(program, step, first, end);
    else
        run_u32(program, step, first, end);
}

int cpu_add_conversion(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout to, uint32_t from,
                       uint32_t value)
{
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    struct layout_state *state = cpu_take(c, 1, sizeof(*state));
    struct cpu_step *step = state ? cpu_add_step(c, t->name, "layout", state) : NULL;
    if (!step)
        return cpu_no_memory(c);
    *state = (struct layout_state){.from = from,
                                   .to = value,
                                   .to_nhwc = to == CPU_NHWC,
                                   .element = sl_dtype_size(t->dtype),
                                   .channels = t->dims[1],
                                   .padded = cpu_round_channels(t->dims[1]),
                                   .width = t->dims[3],
                                   .pixels = t->dims[2] * t->dims[3]};
    step->run_rows = run_layout;
    cpu_use(c, from);
    cpu_use(c, value);
    int status = cpu_set_rows(c, step, value, t->dims[0] * t->dims[2], 1);
    if (status == 0 && t->dims[0] == 1)
        cpu_read_rows(step, cpu_same_rows(from));
    return status;
}
