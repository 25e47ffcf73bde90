// The session: opening, refusals, deadlines, status, back ends of others.
#include "tests/accel/network.h"

#include "accel/registry.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void assert_open_refused(const char *config, int status, const char *part)
{
    struct sl_error error = {""};
    struct sl_accel *accel = (struct sl_accel *)0x1;
    assert_int_equal(sl_accel_open(config, &accel, &error), status);
    assert_ptr_equal(accel, (struct sl_accel *)0x1);
    if (!strstr(error.message, part))
        fail_msg("expected '%s' in: %s", part, error.message);
}

static void test_configuration_refusals(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_open_refused("", -EINVAL, "empty");
    assert_open_refused(NULL, -EINVAL, "empty");
    assert_open_refused(text, -EINVAL, "299 characters");
    assert_open_refused("npu", -ENOENT, "no back end 'npu', there are: cpu");
    assert_open_refused("cp", -ENOENT, "no back end 'cp'");
    assert_open_refused("cpu:", -EINVAL, "device has 0 characters");
    assert_open_refused("cpu:7", -ENODEV, "device '7': there is only '0'");
    assert_open_refused("cpu,speed=9", -EINVAL, "option 'speed' is not known, there are: threads");
    assert_open_refused("cpu,threads", -EINVAL, "expected KEY=VALUE");
    assert_open_refused("cpu,threads=0", -EINVAL, "expected 1 to 64, found '0'");
    assert_open_refused("cpu,threads=2x", -EINVAL, "found '2x'");
    assert_open_refused("cpu,threads=-1", -EINVAL, "found '-1'");
    assert_open_refused("cpu,affinity=", -EINVAL, "expected processors as in 0-3 or 0-1+6");
    assert_open_refused("cpu,affinity=1-0", -EINVAL, "found '1-0'");
    assert_open_refused("cpu,affinity=0+", -EINVAL, "found '0+'");
    assert_open_refused("cpu,affinity=0-", -EINVAL, "found '0-'");
    assert_open_refused("cpu,affinity=+0", -EINVAL, "found '+0'");
    assert_open_refused("cpu,affinity=99999999999999999999", -EINVAL, "expected processors");
    assert_open_refused("cpu,affinity=1023", -EINVAL, "may not use processor 1023");
    assert_open_refused("cpu,isa=mmx", -EINVAL, "expected one of c");
    assert_open_refused("cpu,", -EINVAL, "no options behind the comma");
    assert_open_refused("cpu,threads=1,", -EINVAL, "option '': expected KEY=VALUE");
}

static void build(struct network *net, int64_t size)
{
    const struct conv_shape shape = {8, 3, 1, 1, 1, 1, 1};
    network_begin(net, 5);
    uint32_t x = add_map(net, SL_F32, 1, 4, size, size);
    add_input(net, x);
    add_output(net, add_conv(net, x, &shape));
}

static void test_program(void **state)
{
    (void)state;
    struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program;
    struct sl_accel_status status;
    struct sl_profile rows[8];
    size_t bytes = 0;
    build(&net, 9);
    assert_int_equal(sl_accel_open("cpu:0,threads=2", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net.graph, &program, &error), 0);
    assert_null(sl_program_input(program, 1, &bytes));
    assert_null(sl_program_output(program, 1, &bytes));
    assert_int_equal((uintptr_t)sl_program_input(program, 0, &bytes) % 64, 0);
    assert_int_equal(bytes, 4 * 9 * 9 * sizeof(float));
    assert_non_null(sl_program_output(program, 0, &bytes));
    assert_int_equal(bytes, 8 * 9 * 9 * sizeof(float));
    assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0);
    assert_true(sl_program_bytes(program) > 12 * 9 * 9 * sizeof(float));
    assert_true(sl_program_profile(program, rows, 8) >= 1);
    assert_string_equal(rows[0].node, "node");
    assert_int_equal(rows[0].macs, 9 * 9 * 8 * 4 * 9);
    sl_accel_status(accel, &status);
    assert_string_equal(status.wanted, "cpu:0,threads=2");
    assert_string_equal(status.actual, "cpu");
    assert_string_equal(status.reason, "");
    assert_int_equal(status.runs, 1);
    assert_int_equal(status.health.ok, 1);
    assert_true(isnan(status.health.temperature_c));
    sl_accel_unload(program);
    sl_accel_close(accel);
    network_end(&net);
}

static void test_deadline_in_the_past(void **state)
{
    (void)state;
    struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program;
    struct sl_accel_status status;
    build(&net, 9);
    assert_int_equal(sl_accel_open("cpu", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net.graph, &program, &error), 0);
    assert_int_equal(sl_program_run(program, 1, &error), -ETIMEDOUT);
    assert_non_null(strstr(error.message, "deadline"));
    assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0); // and goes on
    sl_accel_status(accel, &status);
    assert_int_equal(status.runs, 2);
    assert_int_equal(status.timeouts, 1);
    assert_int_equal(status.failures, 0);
    sl_accel_unload(program);
    sl_accel_close(accel);
    network_end(&net);
}

static void test_bad_network_leaves_out_untouched(void **state)
{
    (void)state;
    struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program = (struct sl_program *)0x1;
    build(&net, 9);
    net.nodes[0].op = 999;
    assert_int_equal(sl_accel_open("cpu", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net.graph, &program, &error), -ENOTSUP);
    assert_ptr_equal(program, (struct sl_program *)0x1);
    sl_accel_unload(NULL);
    sl_accel_close(accel);
    sl_accel_close(NULL);
    network_end(&net);
}

// A back end that is an old one: its table ends with `wait`, and its work never ends in time until
// `finished` is set.
static struct {
    bool finished;
    int submits, waits;
} slow;

static int slow_open(const struct sl_host *host, const char *device, const char *options,
                     void **out, struct sl_error *error)
{
    assert_int_equal(host->abi, SL_ACCEL_ABI);
    assert_true(host->now_ns() > 0);
    assert_string_equal(device, "0");
    if (strcmp(options, "broken=1") == 0)
        return sl_error_set(error, -EIO, "does not answer");
    *out = &slow;
    return 0;
}

static void slow_close(void *device)
{
    assert_ptr_equal(device, &slow);
}

static int slow_compile(void *device, const struct sl_graph *graph, void **program,
                        struct sl_error *error)
{
    (void)device;
    (void)graph;
    (void)error;
    *program = &slow;
    return 0;
}

static void slow_release(void *device, void *program)
{
    (void)device;
    assert_ptr_equal(program, &slow);
}

static int slow_bind(void *device, void *program, uint32_t index, const struct sl_buffer *buffer,
                     struct sl_error *error)
{
    (void)device;
    (void)program;
    (void)error;
    assert_int_equal(index, 0);
    assert_int_equal(buffer->memory, SL_MEMORY_HOST);
    assert_int_equal(buffer->fd, -1);
    return 0;
}

static int slow_submit(void *device, void *program, struct sl_error *error)
{
    (void)device;
    (void)program;
    (void)error;
    slow.submits++;
    return 0;
}

static int slow_wait(void *device, void *program, int64_t deadline_ns, struct sl_error *error)
{
    (void)device;
    (void)program;
    (void)deadline_ns;
    slow.waits++;
    return slow.finished ? 0 : sl_error_set(error, -ETIMEDOUT, "still going on");
}

static struct sl_backend slow_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = offsetof(struct sl_backend, health),
    .name = "slow",
    .version = "1",
    .open = slow_open,
    .close = slow_close,
    .compile = slow_compile,
    .release = slow_release,
    .bind_input = slow_bind,
    .bind_output = slow_bind,
    .submit = slow_submit,
    .wait = slow_wait,
};

static void test_register_refusals(void **state)
{
    (void)state;
    struct sl_error error = {""};
    struct sl_backend bad = slow_backend;
    bad.abi = 2;
    assert_int_equal(sl_accel_register(&bad, &error), -EINVAL);
    bad = slow_backend;
    bad.struct_size = 24;
    assert_int_equal(sl_accel_register(&bad, &error), -EINVAL);
    bad = slow_backend;
    bad.submit = NULL;
    assert_int_equal(sl_accel_register(&bad, &error), -EINVAL);
    assert_non_null(strstr(error.message, "no 'submit'"));
    bad = slow_backend;
    bad.name = "a,b";
    assert_int_equal(sl_accel_register(&bad, &error), -EINVAL);
    bad.name = "cpu";
    assert_int_equal(sl_accel_register(&bad, &error), -EEXIST);
}

// The late run must have ended before the next is submitted.
static void test_late_work_is_waited_for(void **state)
{
    (void)state;
    struct network net;
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program;
    build(&net, 3);
    // Beyond struct_size lies what an old plug-in's table does not have.
    slow_backend.health = (int (*)(void *, struct sl_device_health *))0x1;
    assert_int_equal(sl_accel_register(&slow_backend, &error), 0);
    assert_int_equal(sl_accel_register(&slow_backend, &error), -EEXIST);
    assert_int_equal(sl_accel_open("slow", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &net.graph, &program, &error), 0);
    assert_int_equal(sl_program_run(program, 1, &error), -ETIMEDOUT);
    assert_int_equal(slow.submits, 1);
    assert_int_equal(sl_program_run(program, 1, &error), -ETIMEDOUT);
    assert_int_equal(slow.submits, 1);
    slow.finished = true;
    assert_int_equal(sl_program_run(program, 1, &error), 0);
    assert_int_equal(slow.submits, 2);
    assert_int_equal(slow.waits, 4);
    assert_int_equal(sl_program_profile(program, NULL, 0), 0);
    sl_accel_unload(program);
    sl_accel_close(accel);
    network_end(&net);
    assert_open_refused("slow,broken=1", -EIO, "accelerator 'slow,broken=1': does not answer");
}

// Every back end says something: its devices, or why it has none.
struct listed {
    int rows;
    bool cpu, slow, wrapper;
};

static void list_device(void *ctx, const struct sl_backend *backend,
                        const struct sl_device_info *device, const char *problem)
{
    struct listed *listed = ctx;
    assert_true((device == NULL) == (problem != NULL));
    listed->rows++;
    listed->cpu |= device && !strcmp(backend->name, "cpu") && !strcmp(device->name, "0");
    listed->slow |= device && !strcmp(backend->name, "slow");
    listed->wrapper |= problem && !strcmp(backend->name, "ladder") && strstr(problem, "ladder:");
}

static void test_list(void **state)
{
    (void)state;
    struct listed listed = {0};
    sl_accel_list(list_device, &listed);
    assert_true(listed.rows >= 3);
    assert_true(listed.cpu && listed.slow && listed.wrapper);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration_refusals),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_deadline_in_the_past),
        cmocka_unit_test(test_bad_network_leaves_out_untouched),
        cmocka_unit_test(test_register_refusals),
        cmocka_unit_test(test_late_work_is_waited_for),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
