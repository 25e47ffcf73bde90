// The sizes and offsets that plug-ins rely on. A change here breaks every plug-in in the field.
#include "accel/plugin.h"

#include <assert.h>

#define PIN_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), "size of " #type)
#define PIN(type, member, at) static_assert(offsetof(type, member) == (at), #type "." #member)

static_assert(sizeof(void *) == 8, "pinned for 64-bit machines");

PIN_SIZE(struct sl_error, 512);
PIN_SIZE(struct sl_host, 24);
PIN(struct sl_host, log, 8);
PIN(struct sl_host, now_ns, 16);
PIN_SIZE(struct sl_device_info, 256);
PIN(struct sl_device_info, description, 64);
PIN_SIZE(struct sl_buffer, 32);
PIN(struct sl_buffer, offset, 8);
PIN(struct sl_buffer, bytes, 16);
PIN(struct sl_buffer, data, 24);
PIN_SIZE(struct sl_device_health, 24);
PIN(struct sl_device_health, temperature_c, 8);
PIN(struct sl_device_health, errors, 16);
PIN_SIZE(struct sl_profile, 32);
PIN(struct sl_profile, us, 16);
PIN(struct sl_profile, macs, 24);

PIN_SIZE(struct sl_footprint, 40);
PIN(struct sl_footprint, left_out, 32);

PIN_SIZE(struct sl_standing, 232);
PIN(struct sl_standing, reason, 72);
PIN(struct sl_standing, alarms, 224);

PIN_SIZE(struct sl_backend, 160);
PIN(struct sl_backend, name, 8);
PIN(struct sl_backend, probe, 24);
PIN(struct sl_backend, open, 32);
PIN(struct sl_backend, close, 40);
PIN(struct sl_backend, compile, 48);
PIN(struct sl_backend, release, 56);
PIN(struct sl_backend, bind_input, 64);
PIN(struct sl_backend, bind_output, 72);
PIN(struct sl_backend, submit, 80);
PIN(struct sl_backend, wait, 88);
PIN(struct sl_backend, health, 96);
PIN(struct sl_backend, reset, 104);
PIN(struct sl_backend, program_bytes, 112);
PIN(struct sl_backend, profile, 120);
PIN(struct sl_backend, footprint, 128);
PIN(struct sl_backend, traits, 136);
PIN(struct sl_backend, standing, 144);
PIN(struct sl_backend, remark, 152);

PIN_SIZE(struct sl_quant, 24);
PIN(struct sl_quant, scale, 8);
PIN(struct sl_quant, zero_point, 16);
PIN_SIZE(struct sl_tensor, 120);
PIN(struct sl_tensor, dtype, 8);
PIN(struct sl_tensor, dims, 16);
PIN(struct sl_tensor, quant, 80);
PIN(struct sl_tensor, data, 104);
PIN(struct sl_tensor, bytes, 112);
PIN_SIZE(struct sl_activation, 12);
PIN_SIZE(union sl_attrs, 256);
PIN_SIZE(struct sl_node, 312);
PIN(struct sl_node, inputs, 24);
PIN(struct sl_node, outputs, 32);
PIN(struct sl_node, activation, 40);
PIN(struct sl_node, attrs, 56);
PIN_SIZE(struct sl_graph, 80);
PIN(struct sl_graph, name, 8);
PIN(struct sl_graph, tensors, 32);
PIN(struct sl_graph, onnx, 64);

static_assert(SL_OP_SPACE_TO_DEPTH == 60 && SL_OP_QUANTIZE == 40 && SL_OP_SOFTMAX == 30, "numbers");
static_assert(SL_UNARY_COS == 24 && SL_BINARY_FMOD == 17 && SL_REDUCE_SUM_SQUARE == 8, "numbers");

int main(void)
{
    return 0;
}
