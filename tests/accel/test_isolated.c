// The isolated back end: same numbers as in process, shared tensors, and children that die.
#include "tests/accel/network.h"

#include "accel/inner.h"
#include "accel/isolated/isolated.h"
#include "accel/registry.h"
#include "accel/tensors.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MS 1000000

static void assert_refused(const char *config, int status, const char *part)
{
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    assert_int_equal(sl_accel_open(config, &accel, &error), status);
    assert_null(accel);
    if (!strstr(error.message, part))
        fail_msg("expected '%s' in: %s", part, error.message);
}

static void test_refusals(void **state)
{
    (void)state;
    assert_refused("isolated", -EINVAL, "nothing to wrap, expected isolated:BACKEND");
    assert_refused("isolated:npu", -ENOENT, "no back end 'npu'");
    assert_refused("isolated:cpu,isolated.memory_mib=1", -EINVAL, "expected 16");
    assert_refused("isolated:cpu,isolated.program=host", -EINVAL, "an absolute path");
    assert_refused("isolated:cpu,isolated.speed=1", -EINVAL, "isolated.speed=1' is not known");
    assert_refused("isolated:cpu,speed=1", -EINVAL, "option 'speed' is not known");
    assert_refused("isolated:cpu,isolated.program=/nowhere/host", -ENOENT, "/nowhere/host");
    assert_refused("isolated:cpu,isolated.program=/bin/true", -EIO, "child: ended with status 0");
    assert_refused("isolated:fault:cpu,fault.script=open@1:crash", -EIO, "ended by signal 6");
}

struct run {
    struct network net;
    struct sl_inner inner;
    void *program;
    struct sl_tensors tensors;
};

static void begin(struct run *run, const char *config)
{
    const struct conv_shape shape = {8, 3, 1, 1, 1, 1, 1};
    struct sl_error error = {""};
    network_begin(&run->net, 5);
    uint32_t x = add_map(&run->net, SL_F32, 1, 4, 8, 8);
    add_input(&run->net, x);
    add_output(&run->net, add_conv(&run->net, x, &shape));
    if (sl_inner_open(&sl_host, config, &run->inner, &error) != 0)
        fail_msg("%s", error.message);
    const struct sl_backend *b = run->inner.backend;
    assert_int_equal(sl_tensors_new(&run->net.graph, &run->tensors, &error), 0);
    assert_int_equal(b->compile(run->inner.device, &run->net.graph, &run->program, &error), 0);
    assert_int_equal(sl_tensors_bind(&run->tensors, b, run->inner.device, run->program, &error), 0);
    fill_random(&run->net.random, sl_tensors_of(&run->net.graph, 0), run->tensors.buffers[0].data);
}

static void end(struct run *run)
{
    run->inner.backend->release(run->inner.device, run->program);
    run->inner.backend->close(run->inner.device);
    sl_tensors_free(&run->tensors);
    network_end(&run->net);
}

static int once(struct run *run, int64_t ms, struct sl_error *error)
{
    const struct sl_backend *b = run->inner.backend;
    int status = b->submit(run->inner.device, run->program, error);
    return status ? status
                  : b->wait(run->inner.device, run->program, sl_host.now_ns() + ms * MS, error);
}

static void assert_right(struct run *run)
{
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *program;
    size_t bytes;
    assert_int_equal(sl_accel_open("cpu", &accel, &error), 0);
    assert_int_equal(sl_accel_load(accel, &run->net.graph, &program, &error), 0);
    void *input = sl_program_input(program, 0, &bytes);
    memcpy(input, run->tensors.buffers[0].data, bytes);
    assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0);
    const void *output = sl_program_output(program, 0, &bytes);
    assert_memory_equal(output, run->tensors.buffers[1].data, bytes);
    sl_accel_unload(program);
    sl_accel_close(accel);
}

static void test_same_numbers(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    begin(&run, "isolated:cpu,threads=2");
    for (int i = 0; i < 20; i++) {
        fill_random(&run.net.random, sl_tensors_of(&run.net.graph, 0), run.tensors.buffers[0].data);
        assert_int_equal(once(&run, 5000, &error), 0);
        assert_right(&run);
    }
    end(&run);
}

static void test_through_the_session(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    struct sl_accel *accel;
    struct sl_program *programs[2];
    struct sl_accel_status status;
    begin(&run, "cpu");
    assert_int_equal(sl_accel_open("isolated:cpu", &accel, &error), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sl_accel_load(accel, &run.net.graph, &programs[i], &error), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(sl_program_run(programs[i], SL_NO_DEADLINE, &error), 0);
    sl_accel_status(accel, &status);
    assert_string_equal(status.actual, "isolated:cpu");
    assert_string_equal(status.reason, "");
    assert_true(sl_program_bytes(programs[0]) > 0);
    for (int i = 0; i < 2; i++)
        sl_accel_unload(programs[i]);
    sl_accel_close(accel);
    end(&run);
}

// Number behind a key of /proc/PID/status.
static long proc_status(pid_t pid, const char *key)
{
    char path[64], line[256];
    long value = -1;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            value = strtol(line + strlen(key) + 1, NULL, 10);
    fclose(file);
    return value;
}

static void test_the_child_is_confined(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "isolated:cpu");
    pid_t child = sl_isolated_child(run.inner.device);
    assert_true(child > 0);
    assert_int_equal(proc_status(child, "Seccomp"), 2);
    assert_int_equal(proc_status(child, "NoNewPrivs"), 1);
    assert_true(proc_status(child, "Uid") > 0);
    end(&run);
}

static void test_reset(struct run *run)
{
    struct sl_error error = {""};
    if (run->inner.backend->reset(run->inner.device, &error) != 0)
        fail_msg("%s", error.message);
    assert_int_equal(once(run, 5000, &error), 0);
    assert_right(run);
}

static void test_crash(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    begin(&run, "isolated:fault:cpu,fault.script=wait@2:crash");
    for (int round = 0; round < 3; round++) {
        assert_int_equal(once(&run, 5000, &error), 0);
        int64_t start = sl_host.now_ns();
        assert_int_equal(once(&run, 30000, &error), -EIO);
        assert_true(sl_host.now_ns() - start < 15000ll * MS); // at once, not at the deadline
        assert_non_null(strstr(error.message, "child: "));
        assert_int_equal(run.inner.backend->reset(run.inner.device, &error), 0);
    }
    test_reset(&run);
    struct sl_device_health health = {.struct_size = sizeof(health)};
    assert_int_equal(run.inner.backend->health(run.inner.device, &health), 0);
    assert_int_equal(health.errors, 3);
    end(&run);
}

static void test_hang(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    begin(&run, "isolated:fault:cpu,fault.script=wait@1:hang+wait@3:stuck:60000");
    assert_int_equal(once(&run, 100, &error), -ETIMEDOUT);
    assert_int_equal(run.inner.backend->wait(run.inner.device, run.program,
                                             sl_host.now_ns() + 10000ll * MS, &error),
                     0);
    assert_int_equal(run.inner.backend->reset(run.inner.device, &error), 0);
    assert_int_equal(once(&run, 100, &error), -ETIMEDOUT);
    end(&run);
}

static void test_what_the_child_reports(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    begin(&run, "isolated:fault:cpu,fault.script=wait@1:fail+wait@2:delay:200");
    pid_t child = sl_isolated_child(run.inner.device);
    assert_int_equal(once(&run, 5000, &error), -EIO);
    assert_non_null(strstr(error.message, "fault: failed by script"));
    assert_int_equal(sl_isolated_child(run.inner.device), child);
    assert_int_equal(once(&run, 5000, &error), 0);
    assert_right(&run);
    end(&run);
}

static void test_host_memory_is_refused(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    static _Alignas(64) float data[1024];
    begin(&run, "isolated:cpu");
    struct sl_buffer buffer = {SL_MEMORY_HOST, -1, 0, sizeof(data), data};
    assert_int_equal(
        run.inner.backend->bind_input(run.inner.device, run.program, 0, &buffer, &error), -ENOTSUP);
    buffer = run.tensors.buffers[0];
    buffer.bytes = UINT64_MAX;
    assert_int_equal(
        run.inner.backend->bind_input(run.inner.device, run.program, 0, &buffer, &error), -EINVAL);
    assert_int_equal(
        run.inner.backend->bind_input(run.inner.device, run.program, 7, &buffer, &error), -EINVAL);
    end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_same_numbers),
        cmocka_unit_test(test_through_the_session),
        cmocka_unit_test(test_the_child_is_confined),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_hang),
        cmocka_unit_test(test_what_the_child_reports),
        cmocka_unit_test(test_host_memory_is_refused),
    };
    setenv("SIGHTLINE_ACCEL_HOST", SL_BUILD_DIR "/sightline-accel-host", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
