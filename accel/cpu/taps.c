#include "accel/cpu/taps.h"

struct cpu_taps cpu_taps_inside(const struct sl_pool_attrs *attrs, int axis, int64_t in,
                                int64_t out)
{
    const int64_t step = attrs->dilation[axis], kernel = attrs->kernel[axis];
    const int64_t start = out * attrs->stride[axis] - attrs->pad[axis];
    const int64_t room = in - start - (kernel - 1) * step; // of the last tap
    if (start >= 0 && room > 0)
        return (struct cpu_taps){start, kernel, (room - 1) / attrs->stride[axis] + 1};
    const int64_t first = start < 0 ? (-start + step - 1) / step : 0;
    const int64_t end = in <= start ? 0 : (in - start + step - 1) / step;
    const int64_t count = (end < kernel ? end : kernel) - first;
    if (count <= 0)
        return (struct cpu_taps){0, 0, 1};
    return (struct cpu_taps){start + first * step, count, 1};
}
