// Reference interpreter: operators that move elements and compute nothing.
#include "accel/reference_impl.h"

#include <errno.h>
#include <string.h>

int ref_copy(const struct ref *ref)
{
    const struct sl_tensor *x = ref_in(ref, 0);
    size_t bytes = (size_t)sl_elements(x) * sl_dtype_size(x->dtype);
    if (bytes && ref_dst(ref, 0) != ref_src(ref, 0))
        memcpy(ref_dst(ref, 0), ref_src(ref, 0), bytes);
    return 0;
}

static void dense_strides(const struct sl_tensor *tensor, int64_t *strides)
{
    int64_t stride = 1;
    for (uint32_t axis = tensor->rank; axis-- > 0; stride *= tensor->dims[axis])
        strides[axis] = stride;
}

// Output 0, seen as `dims`, read from input 0 with `strides`.
static int copy_seen_as(const struct ref *ref, uint32_t rank, const int64_t *dims, int64_t from,
                        const int64_t *strides)
{
    ref_copy_strided(ref_dst(ref, 0), rank, dims, ref_src(ref, 0), from, strides,
                     sl_dtype_size(ref_in(ref, 0)->dtype));
    return 0;
}

int ref_transpose(const struct ref *ref)
{
    const struct sl_tensor *x = ref_in(ref, 0), *y = ref_out(ref, 0);
    int64_t dense[SL_MAX_RANK], strides[SL_MAX_RANK];
    dense_strides(x, dense);
    for (uint32_t i = 0; i < x->rank; i++)
        strides[i] = dense[ref->view.node->attrs.perm[i]];
    return copy_seen_as(ref, y->rank, y->dims, 0, strides);
}

int ref_slice(const struct ref *ref)
{
    const struct sl_slice_attrs *slice = &ref->view.node->attrs.slice;
    const struct sl_tensor *x = ref_in(ref, 0), *y = ref_out(ref, 0);
    int64_t dense[SL_MAX_RANK], strides[SL_MAX_RANK], from = 0;
    if (sl_elements(y) == 0)
        return 0;
    dense_strides(x, dense);
    for (uint32_t i = 0; i < x->rank; i++) {
        strides[i] = dense[i] * slice->step[i];
        from += dense[i] * slice->start[i];
    }
    return copy_seen_as(ref, y->rank, y->dims, from, strides);
}

int ref_expand(const struct ref *ref)
{
    const struct sl_tensor *y = ref_out(ref, 0);
    int64_t strides[SL_MAX_RANK];
    sl_broadcast_strides(ref_in(ref, 0), y->rank, strides);
    return copy_seen_as(ref, y->rank, y->dims, 0, strides);
}

// [N, C, H b, W b] from [N, b, b, C, H, W] (DCR) or [N, C, b, b, H, W] (CRD).
int ref_depth_to_space(const struct ref *ref)
{
    const struct sl_block_attrs *attrs = &ref->view.node->attrs.block;
    const int64_t *x = ref_in(ref, 0)->dims, *y = ref_out(ref, 0)->dims, b = attrs->block;
    int64_t plane = x[2] * x[3], channels = y[1];
    int64_t channel = attrs->crd ? plane * b * b : plane;
    int64_t block = attrs->crd ? plane : plane * channels;
    const int64_t dims[6] = {x[0], channels, x[2], b, x[3], b};
    const int64_t strides[6] = {x[1] * plane, channel, x[3], block * b, 1, block};
    return copy_seen_as(ref, 6, dims, 0, strides);
}

// [N, b, b, C, H / b, W / b] from [N, C, H, W].
int ref_space_to_depth(const struct ref *ref)
{
    const int64_t *x = ref_in(ref, 0)->dims, b = ref->view.node->attrs.block.block;
    const int64_t dims[6] = {x[0], b, b, x[1], x[2] / b, x[3] / b};
    const int64_t strides[6] = {x[1] * x[2] * x[3], x[3], 1, x[2] * x[3], b * x[3], b};
    return copy_seen_as(ref, 6, dims, 0, strides);
}

int ref_concat(const struct ref *ref)
{
    const struct sl_tensor *y = ref_out(ref, 0);
    uint32_t axis = sl_axis(ref->view.node->attrs.axis, y->rank);
    size_t inner = (size_t)sl_dims_product(y, axis + 1, y->rank) * sl_dtype_size(y->dtype);
    size_t stride = (size_t)y->dims[axis] * inner;
    int64_t outer = sl_dims_product(y, 0, axis);
    unsigned char *to = ref_dst(ref, 0);
    for (uint32_t k = 0; k < ref->view.node->n_inputs; k++) {
        size_t bytes = (size_t)ref_in(ref, k)->dims[axis] * inner;
        const unsigned char *from = ref_src(ref, k);
        for (int64_t o = 0; bytes && o < outer; o++)
            memcpy(to + (size_t)o * stride, from + (size_t)o * bytes, bytes);
        to += bytes;
    }
    return 0;
}

int ref_gather(const struct ref *ref)
{
    const struct sl_tensor *x = ref_in(ref, 0), *indices = ref_in(ref, 1);
    uint32_t axis = sl_axis(ref->view.node->attrs.axis, x->rank);
    int64_t outer = sl_dims_product(x, 0, axis), length = x->dims[axis];
    int64_t count = sl_elements(indices);
    size_t inner = (size_t)sl_dims_product(x, axis + 1, x->rank) * sl_dtype_size(x->dtype);
    const void *numbers = ref_src(ref, 1);
    const unsigned char *from = ref_src(ref, 0);
    unsigned char *to = ref_dst(ref, 0);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < count; i++) {
            int64_t index = indices->dtype == SL_I32 ? ((const int32_t *)numbers)[i]
                                                     : ((const int64_t *)numbers)[i];
            if (index < -length || index >= length)
                return sl_op_fail(&ref->view, -EINVAL, "index %lld is out of range for %lld",
                                  (long long)index, (long long)length);
            index += index < 0 ? length : 0;
            memcpy(to, from + (size_t)(o * length + index) * inner, inner);
            to += inner;
        }
    return 0;
}

// Where coordinate `at` of an axis comes from; -1: from nowhere.
typedef int64_t (*source_of)(const struct ref *ref, uint32_t axis, int64_t at);

static int64_t pad_source(const struct ref *ref, uint32_t axis, int64_t at)
{
    const struct sl_pad_attrs *pad = &ref->view.node->attrs.pad;
    int64_t dim = ref_in(ref, 0)->dims[axis], from = at - pad->before[axis];
    if (from >= 0 && from < dim)
        return from;
    if (pad->mode == SL_PAD_CONSTANT)
        return -1;
    if (pad->mode == SL_PAD_EDGE)
        return from < 0 ? 0 : dim - 1;
    return from < 0 ? -from : 2 * (dim - 1) - from;
}

static int64_t tile_source(const struct ref *ref, uint32_t axis, int64_t at)
{
    return at % ref_in(ref, 0)->dims[axis];
}

struct mapping {
    const struct ref *ref;
    source_of source;
    int64_t strides[SL_MAX_RANK];
    uint32_t element;
    unsigned char fill[8];
    unsigned char *to;
};

// Elements of the last axis that follow each other in x are copied together.
static void map_row(struct mapping *map, uint32_t axis, int64_t from, bool outside)
{
    const unsigned char *x = ref_src(map->ref, 0);
    int64_t length = ref_out(map->ref, 0)->dims[axis];
    for (int64_t at = 0, count; at < length; at += count) {
        int64_t source = outside ? -1 : map->source(map->ref, axis, at);
        for (count = 1; at + count < length; count++) {
            int64_t next = outside ? -1 : map->source(map->ref, axis, at + count);
            if (next != (source < 0 ? -1 : source + count))
                break;
        }
        if (source >= 0)
            memcpy(map->to, x + (size_t)(from + source) * map->element,
                   (size_t)count * map->element);
        for (int64_t i = 0; source < 0 && i < count; i++)
            memcpy(map->to + (size_t)i * map->element, map->fill, map->element);
        map->to += (size_t)count * map->element;
    }
}

static void map_axis(struct mapping *map, uint32_t axis, int64_t from, bool outside)
{
    const struct sl_tensor *y = ref_out(map->ref, 0);
    if (axis + 1 == y->rank) {
        map_row(map, axis, from, outside);
        return;
    }
    for (int64_t at = 0; at < y->dims[axis]; at++) {
        int64_t source = outside ? 0 : map->source(map->ref, axis, at);
        map_axis(map, axis + 1, from + source * map->strides[axis], outside || source < 0);
    }
}

static void map_all(struct mapping *map)
{
    dense_strides(ref_in(map->ref, 0), map->strides);
    map->element = sl_dtype_size(ref_in(map->ref, 0)->dtype);
    map->to = ref_dst(map->ref, 0);
    if (ref_out(map->ref, 0)->rank == 0)
        memcpy(map->to, ref_src(map->ref, 0), map->element);
    else if (sl_elements(ref_out(map->ref, 0)) > 0)
        map_axis(map, 0, 0, false);
}

static void fill_value(const struct sl_tensor *tensor, float real, unsigned char fill[8])
{
    int64_t integer = 0;
    if (sl_is_quantised(tensor))
        integer = ref_quantise(real, tensor, 0);
    else if (real > -9.2e18f && real < 9.2e18f)
        integer = (int64_t)real;
    if (tensor->dtype == SL_F32)
        memcpy(fill, &real, sizeof(real));
    else
        memcpy(fill, &integer, 8); // little endian: the low bytes come first
}

int ref_pad(const struct ref *ref)
{
    struct mapping map = {.ref = ref, .source = pad_source};
    fill_value(ref_out(ref, 0), ref->view.node->attrs.pad.value, map.fill);
    map_all(&map);
    return 0;
}

int ref_tile(const struct ref *ref)
{
    struct mapping map = {.ref = ref, .source = tile_source};
    map_all(&map);
    return 0;
}
