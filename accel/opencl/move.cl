// Moving elements: every output element of a stretch has a place in the input, -1 for `fill`.
// `n` elements from stretches of `period`; `x_step` and `y_step` lead from one stretch to the next.
#define PICK(name, type, load)                                                                     \
    __kernel void name(__global const type *x, __global type *y, __global const int *places,       \
                       int period, int x_step, int y_from, int y_step, __global const uchar *table, \
                       int fill, int n)                                                            \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= n)                                                                                \
            return;                                                                                \
        const int stretch = i / period, at = i % period, place = places[at];                       \
        y[(size_t)stretch * y_step + y_from + at] =                                                \
            place < 0 ? (type)fill : load(x[(size_t)stretch * x_step + place]);                    \
    }
#define BY_TABLE(v) table[v]
#define PLAIN(v) (v)
PICK(pick1, uchar, BY_TABLE)
PICK(pick4, uint, PLAIN)
PICK(pick8, ulong, PLAIN)

// Bilinear: along both axes two places with their weights; a weight of 0 reads nothing.
#define LINEAR(name, in_type, out_type, load, store)                                               \
    __kernel void name(__global const in_type *x, __global out_type *y,                            \
                       __global const int *rows, __global const int *columns,                      \
                       __global const float *row_weights, __global const float *column_weights,    \
                       int in_w, int out_h, int out_w, int in_plane, int n,                        \
                       __global const float *reals, float scale, int zero, float low, float high)  \
    {                                                                                              \
        const int i = get_global_id(0);                                                            \
        if (i >= n)                                                                                \
            return;                                                                                \
        const int ox = i % out_w, oy = i / out_w % out_h;                                          \
        x += (size_t)(i / out_w / out_h) * in_plane;                                               \
        float sum = 0.0f;                                                                          \
        for (int r = 0; r < 2; r++) {                                                              \
            const float row_weight = row_weights[2 * oy + r];                                      \
            float row = 0.0f;                                                                      \
            for (int c = 0; c < 2 && row_weight != 0.0f; c++) {                                    \
                const float weight = column_weights[2 * ox + c];                                   \
                if (weight != 0.0f)                                                                \
                    row += weight * load(x[rows[2 * oy + r] * in_w + columns[2 * ox + c]]);        \
            }                                                                                      \
            if (row_weight != 0.0f)                                                                \
                sum += row_weight * row;                                                           \
        }                                                                                          \
        y[i] = store(sum);                                                                         \
    }
#define REAL_OF(v) reals[v]
#define QUANTISED(v) quantised(v, scale, zero, low, high)
LINEAR(linear_uchar, uchar, uchar, REAL_OF, QUANTISED)
LINEAR(linear_float, float, float, PLAIN, PLAIN)
