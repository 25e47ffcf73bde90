// Decoding with protobuf-c, whose memory comes from a bounded pool.
#include "inference/onnx_parse.h"

#include <errno.h>

static void *allocate(void *pool, size_t size)
{
    return pool_alloc(pool, size);
}

static void release(void *pool, void *memory)
{
    pool_release(pool, memory);
}

int onnx_parse(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size,
               struct pool *pool, const ProtobufCMessage **out, struct sl_error *error)
{
    int status = onnx_check_wire(type, bytes, size, error);
    if (status) {
        return status;
    }
    ProtobufCAllocator allocator = {allocate, release, pool};
    const ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, size, bytes);
    if (!message && pool->failed) {
        return pool_error(pool, error);
    }
    if (!message) {
        return sl_error_set(error, -EINVAL, "not an ONNX file: %s cannot be decoded",
                            type->short_name);
    }
    *out = message;
    return 0;
}
