// Times a detector of the shipped shape with random weights: `bench_net [ACCELERATOR [f32]]`.
#include "tests/accel/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static uint32_t conv(struct network *net, uint32_t x, int64_t outputs, int64_t kernel,
                     int64_t stride, int64_t dilation)
{
    struct conv_shape shape = {outputs, kernel, stride, dilation, kernel / 2 * dilation, 1, 1};
    return add_conv(net, x, &shape);
}

static uint32_t add(struct network *net, uint32_t a, uint32_t b)
{
    const struct sl_tensor *t = &net->tensors[a];
    uint32_t y = add_tensor(net, t->dtype, t->rank, t->dims);
    const uint32_t operands[2] = {a, b};
    if (t->dtype != SL_F32)
        set_quant(net, y, 0.02f, 10);
    add_node(net, SL_OP_BINARY, 2, operands, y)->attrs.binary = SL_BINARY_ADD;
    return y;
}

static uint32_t upsample(struct network *net, uint32_t x)
{
    const struct sl_tensor *t = &net->tensors[x];
    uint32_t y = add_map(net, t->dtype, 1, t->dims[1], 2 * t->dims[2], 2 * t->dims[3]);
    net->tensors[y].quant = net->tensors[x].quant;
    add_node(net, SL_OP_RESIZE, 1, &x, y)->attrs.resize =
        (struct sl_resize_attrs){.mode = SL_RESIZE_NEAREST,
                                 .coordinates = SL_RESIZE_ASYMMETRIC,
                                 .rounding = SL_RESIZE_FLOOR,
                                 .scale = {1.0f, 1.0f, 2.0f, 2.0f}};
    return y;
}

static uint32_t quantised_input(struct network *net, uint32_t real)
{
    uint32_t x = add_tensor(net, SL_U8, 4, net->tensors[real].dims);
    set_quant(net, x, 1.0f / 255.0f, 0);
    add_node(net, SL_OP_QUANTIZE, 1, &real, x);
    return x;
}

static void head(struct network *net, uint32_t x, int64_t outputs)
{
    uint32_t y = conv(net, x, outputs, 1, 1, 1);
    if (net->tensors[y].dtype != SL_F32) {
        uint32_t real = add_tensor(net, SL_F32, 4, net->tensors[y].dims);
        add_node(net, SL_OP_DEQUANTIZE, 1, &y, real);
        y = real;
    }
    add_output(net, y);
}

static void build(struct network *net, bool real)
{
    network_begin(net, 1);
    uint32_t x = add_map(net, SL_F32, 1, 2, 640, 640);
    add_input(net, x);
    x = real ? x : quantised_input(net, x);
    x = conv(net, x, 16, 3, 2, 1);
    x = conv(net, x, 16, 3, 2, 1);
    uint32_t c3 = conv(net, x, 32, 3, 2, 1);
    uint32_t c4 = conv(net, c3, 48, 3, 2, 1);
    uint32_t c6 = conv(net, conv(net, c4, 48, 3, 1, 2), 48, 3, 1, 1);
    x = upsample(net, conv(net, add(net, c4, c6), 32, 1, 1, 1));
    x = conv(net, add(net, c3, x), 32, 3, 1, 1);
    head(net, x, 6);
    head(net, x, 4);
}

int main(int argc, char **argv)
{
    static struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program;
    struct sl_profile rows[64];
    build(&net, argc > 2 && strcmp(argv[2], "f32") == 0);
    if (sl_accel_open(argc > 1 ? argv[1] : "cpu", &accel, &error) ||
        sl_accel_load(accel, &net.graph, &program, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    fill_random(&net.random, &net.tensors[net.inputs[0]], sl_program_input(program, 0, NULL));
    double best = 1e9;
    uint64_t macs = 0;
    for (int i = 0; i < 30; i++) {
        double before = now_ms();
        sl_program_run(program, SL_NO_DEADLINE, NULL);
        double ms = now_ms() - before;
        best = ms < best ? ms : best;
    }
    uint32_t count = sl_program_profile(program, rows, 64);
    for (uint32_t i = 0; i < count; i++) {
        printf("%-12s %9.1f us %8.1f MMAC %6.1f GMAC/s\n", rows[i].kernel, (double)rows[i].us,
               (double)rows[i].macs / 1e6, (double)rows[i].macs / 1e3 / (double)rows[i].us);
        macs += rows[i].macs;
    }
    printf("best of 30: %.2f ms, %.1f MMAC, %.1f MiB\n", best, (double)macs / 1e6,
           (double)sl_program_bytes(program) / (1 << 20));
    sl_accel_unload(program);
    sl_accel_close(accel);
    network_end(&net);
    return 0;
}
