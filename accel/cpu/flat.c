// Rows of steps that work element by element, in either layout.
#include "accel/cpu/flat.h"

// Elements of a row where the tensor is no map: whole lines of the cache, so that no line is
// written by two threads.
#define LINE 64

static const unsigned char *place(const struct cpu_program *program, uint32_t value, int64_t at,
                                  uint32_t size)
{
    return (const unsigned char *)cpu_data(program, value) + at * size;
}

struct cpu_piece cpu_flat_piece(const struct cpu_program *program, const struct cpu_flat *flat,
                                int64_t plane, int64_t first, int64_t end)
{
    int64_t at = plane * flat->plane + first * flat->row;
    int64_t count = (end - first) * flat->row, left = flat->total - at;
    return (struct cpu_piece){.a = place(program, flat->a, at, flat->x_size),
                              .b = flat->b == CPU_NONE ? NULL
                                                       : place(program, flat->b, at, flat->x_size),
                              .y = (unsigned char *)cpu_data(program, flat->y) + at * flat->y_size,
                              .count = count < left ? count : left};
}

// Pictures have few planes; what has more is cut anywhere.
static bool has_rows(const struct sl_tensor *y, enum cpu_layout layout)
{
    return layout == CPU_NHWC || (y->rank == 4 && y->dims[0] == 1 && y->dims[1] <= 4);
}

int cpu_set_flat(struct cpu_compiler *c, struct cpu_step *step, struct cpu_flat *flat,
                 const struct sl_tensor *x, const struct sl_tensor *y, enum cpu_layout layout)
{
    flat->x_size = sl_dtype_size(x->dtype);
    flat->y_size = sl_dtype_size(y->dtype);
    flat->planes = 1;
    flat->total = (int64_t)cpu_layout_bytes(y, layout) / flat->y_size;
    flat->row = LINE;
    int64_t height = (flat->total + LINE - 1) / LINE;
    bool rows = has_rows(y, layout);
    if (rows) {
        height = layout == CPU_NHWC ? y->dims[0] * y->dims[2] : y->dims[2];
        flat->planes = layout == CPU_NHWC ? 1 : y->dims[1];
        flat->row = height ? flat->total / flat->planes / height : 0;
        flat->plane = height * flat->row;
    }
    cpu_use(c, flat->a);
    if (flat->b != CPU_NONE)
        cpu_use(c, flat->b);
    cpu_use(c, flat->y);
    int status = cpu_set_rows(c, step, flat->y, height, 2);
    if (status || !rows || y->dims[0] != 1)
        return status;
    cpu_read_rows(step, cpu_same_rows(flat->a));
    if (flat->b != CPU_NONE)
        cpu_read_rows(step, cpu_same_rows(flat->b));
    return 0;
}
