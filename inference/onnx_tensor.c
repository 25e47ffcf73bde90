// TensorProto -> tensor: types, dims, and data wherever the file keeps it.
#include "inference/onnx_lower.h"

#include "accel/reference.h"

#include <errno.h>
#include <string.h>

uint32_t lower_dtype(int32_t onnx_type)
{
    switch (onnx_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return SL_F32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        return SL_U8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        return SL_I8;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        return SL_I32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        return SL_I64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        return SL_BOOL;
    default:
        return 0;
    }
}

static int read_dims(const Onnx__TensorProto *proto, const char *name, struct sl_tensor *out,
                     struct sl_error *error)
{
    if (proto->n_dims > SL_MAX_RANK)
        return sl_error_set(error, -ENOTSUP, "tensor '%s': %zu dimensions, at most %d", name,
                            proto->n_dims, SL_MAX_RANK);
    out->rank = (uint32_t)proto->n_dims;
    if (out->rank)
        memcpy(out->dims, proto->dims, out->rank * sizeof(*out->dims));
    const int64_t elements = graph_elements(out->dims, out->rank, SL_ONNX_MAX_ELEMENTS);
    if (elements < 0)
        return sl_error_set(error, -E2BIG,
                            "tensor '%s': its dimensions are negative or beyond %lld "
                            "elements",
                            name, (long long)SL_ONNX_MAX_ELEMENTS);
    out->bytes = (uint64_t)elements * sl_dtype_size(out->dtype);
    return 0;
}

static size_t typed_count(const Onnx__TensorProto *proto, uint32_t dtype)
{
    return dtype == SL_F32   ? proto->n_float_data
           : dtype == SL_I64 ? proto->n_int64_data
                             : proto->n_int32_data;
}

// Bytes, int8 and bool stand one per int32 in the typed form.
static void copy_typed(const Onnx__TensorProto *proto, uint32_t dtype, size_t count, void *data)
{
    if (dtype == SL_F32)
        memcpy(data, proto->float_data, count * sizeof(float));
    else if (dtype == SL_I64)
        memcpy(data, proto->int64_data, count * sizeof(int64_t));
    else if (dtype == SL_I32)
        memcpy(data, proto->int32_data, count * sizeof(int32_t));
    else
        for (size_t i = 0; i < count; i++)
            ((uint8_t *)data)[i] =
                dtype == SL_BOOL ? proto->int32_data[i] != 0 : (uint8_t)proto->int32_data[i];
}

// IEEE 754 binary16 -> binary32, exactly.
static float from_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    const uint32_t fraction = half & 0x3ff;
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
    float value;
    if (exponent == 0)
        return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    if (exponent == 31)
        bits |= 0x7f800000u;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

// Constants in half precision only save space in the file: they become float32 here.
static int read_half(struct graph *graph, const Onnx__TensorProto *proto, struct sl_tensor *t,
                     struct sl_error *error)
{
    const size_t elements = (size_t)(t->bytes / sizeof(float));
    const bool raw = proto->has_raw_data && proto->raw_data.len > 0;
    const size_t found = raw ? proto->raw_data.len / 2 : proto->n_int32_data;
    if (found != elements || (raw && proto->raw_data.len % 2))
        return sl_error_set(error, -EINVAL,
                            "tensor '%s': its shape needs %zu numbers, the file has %zu", t->name,
                            elements, found);
    float *data = pool_array(&graph->pool, elements, sizeof(*data));
    if (!data)
        return pool_error(&graph->pool, error);
    for (size_t i = 0; i < elements; i++) {
        uint16_t half = 0;
        if (raw)
            memcpy(&half, proto->raw_data.data + 2 * i, 2);
        else
            half = (uint16_t)proto->int32_data[i];
        data[i] = from_half(half);
    }
    t->data = data;
    return 0;
}

int lower_tensor_proto(struct graph *graph, const Onnx__TensorProto *proto, struct sl_tensor *out,
                       struct sl_error *error)
{
    const char *name = proto->name && *proto->name ? proto->name : "(constant)";
    const bool half = proto->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16;
    struct sl_tensor t = {.name = name, .dtype = half ? SL_F32 : lower_dtype(proto->data_type)};
    if (proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL ||
        proto->n_external_data)
        return sl_error_set(
            error, -ENOTSUP,
            "tensor '%s' lies in another file, expected one file that holds all: save it "
            "again with the weights inside",
            name);
    if (!t.dtype)
        return sl_error_set(error, -ENOTSUP,
                            "tensor '%s' has ONNX type %d; known are float32, "
                            "float16, uint8, int8, int32, int64 and bool",
                            name, proto->data_type);
    int status = read_dims(proto, name, &t, error);
    if (status == 0 && half)
        status = read_half(graph, proto, &t, error);
    if (status == 0 && half)
        *out = t;
    if (status < 0 || half)
        return status;
    const size_t size = sl_dtype_size(t.dtype), elements = (size_t)(t.bytes / size);
    const bool raw = proto->has_raw_data && proto->raw_data.len > 0;
    const size_t found = raw ? proto->raw_data.len : typed_count(proto, t.dtype);
    if (found != (raw ? (size_t)t.bytes : elements))
        return sl_error_set(error, -EINVAL, "tensor '%s': its shape needs %zu %s, the file has %zu",
                            name, raw ? (size_t)t.bytes : elements, raw ? "bytes" : "numbers",
                            found);
    void *data = pool_alloc(&graph->pool, t.bytes);
    if (!data)
        return pool_error(&graph->pool, error);
    if (raw)
        memcpy(data, proto->raw_data.data, (size_t)t.bytes);
    else if (elements)
        copy_typed(proto, t.dtype, elements, data);
    if (t.dtype == SL_BOOL)
        for (size_t i = 0; raw && i < elements; i++)
            ((uint8_t *)data)[i] = ((uint8_t *)data)[i] != 0;
    t.data = data;
    *out = t;
    return 0;
}
