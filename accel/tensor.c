// Small questions about tensors: names and sizes of types, products of dimensions, broadcasting.
#include "accel/tensor.h"

#include "accel/reference.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t size;
    int64_t low, high;
} dtypes[] = {
    [SL_F32] = {"float32", 4, 0, 0},
    [SL_U8] = {"uint8", 1, 0, UINT8_MAX},
    [SL_I8] = {"int8", 1, INT8_MIN, INT8_MAX},
    [SL_I32] = {"int32", 4, INT32_MIN, INT32_MAX},
    [SL_I64] = {"int64", 8, INT64_MIN, INT64_MAX},
    [SL_BOOL] = {"bool", 1, 0, 1},
};

static bool dtype_known(uint32_t dtype)
{
    return dtype < sizeof(dtypes) / sizeof(*dtypes) && dtypes[dtype].name;
}

uint32_t sl_dtype_size(uint32_t dtype)
{
    return dtype_known(dtype) ? dtypes[dtype].size : 0;
}

const char *sl_dtype_name(uint32_t dtype)
{
    return dtype_known(dtype) ? dtypes[dtype].name : "unknown type";
}

void sl_dtype_range(uint32_t dtype, int64_t *low, int64_t *high)
{
    *low = dtype_known(dtype) ? dtypes[dtype].low : 0;
    *high = dtype_known(dtype) ? dtypes[dtype].high : 0;
}

char *sl_dims_text(uint32_t rank, const int64_t *dims, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "[");
    for (uint32_t i = 0; i < rank && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, i ? ",%lld" : "%lld", (long long)dims[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
    return text;
}

int64_t sl_dims_product(const struct sl_tensor *tensor, uint32_t from, uint32_t to)
{
    int64_t product = 1;
    for (uint32_t i = from; i < to; i++)
        product *= tensor->dims[i];
    return product;
}

int64_t sl_elements(const struct sl_tensor *tensor)
{
    return sl_dims_product(tensor, 0, tensor->rank);
}

bool sl_same_dims(const struct sl_tensor *a, const struct sl_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(int64_t)) == 0;
}

uint32_t sl_axis(int32_t axis, uint32_t rank)
{
    int64_t positive = axis < 0 ? (int64_t)axis + rank : axis;
    return positive < 0 || positive >= rank ? rank : (uint32_t)positive;
}

bool sl_broadcast(uint32_t *rank, int64_t *dims, const struct sl_tensor *shape)
{
    if (shape->rank > *rank) {
        uint32_t more = shape->rank - *rank;
        memmove(dims + more, dims, *rank * sizeof(*dims));
        for (uint32_t i = 0; i < more; i++)
            dims[i] = 1;
        *rank = shape->rank;
    }
    for (uint32_t i = 0; i < shape->rank; i++) {
        int64_t *have = &dims[*rank - 1 - i];
        int64_t other = shape->dims[shape->rank - 1 - i];
        if (*have == 1)
            *have = other;
        else if (other != 1 && other != *have)
            return false;
    }
    return true;
}

void sl_broadcast_strides(const struct sl_tensor *tensor, uint32_t rank, int64_t *strides)
{
    int64_t stride = 1;
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t at = rank - 1 - i;
        if (i >= tensor->rank) {
            strides[at] = 0;
            continue;
        }
        int64_t dim = tensor->dims[tensor->rank - 1 - i];
        strides[at] = dim == 1 ? 0 : stride;
        stride *= dim;
    }
}

bool sl_same_quant(const struct sl_tensor *a, const struct sl_tensor *b)
{
    if (a->dtype != b->dtype || a->quant.count != b->quant.count)
        return false;
    if (a->quant.count == 0)
        return true;
    return a->quant.count == 1 && a->quant.scale[0] == b->quant.scale[0] &&
           a->quant.zero_point[0] == b->quant.zero_point[0];
}
