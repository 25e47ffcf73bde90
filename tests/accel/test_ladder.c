// The ladder: refusals, one failure, a step taken out and back, lies found, steps that are missing.
#include "tests/accel/network.h"

#include "accel/inner.h"
#include "accel/registry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#define MS 1000000ll

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
    assert_refused("ladder", -EINVAL, "no steps, expected ladder:BACKEND|BACKEND");
    assert_refused("ladder:cpu", -EINVAL, "one step, expected two or more");
    assert_refused("ladder:cpu|", -EINVAL, "step 2: expected BACKEND");
    assert_refused("ladder:|cpu", -EINVAL, "step 1: expected BACKEND");
    assert_refused("ladder:cpu,|cpu", -EINVAL, "step 1: expected BACKEND");
    assert_refused("ladder:npu|cpu", -ENOENT, "no back end 'npu'");
    assert_refused("ladder:cpu,speed=1|cpu", -EINVAL, "option 'speed' is not known");
    assert_refused("ladder:cpu|cpu,ladder.speed=1", -EINVAL, "'ladder.speed' is not known");
    assert_refused("ladder:cpu|cpu,ladder.strikes=0", -EINVAL, "found '0'");
    assert_refused("ladder:cpu|cpu|cpu|cpu|cpu|cpu|cpu|cpu|cpu", -EINVAL, "more than 8 steps");
    assert_refused("ladder:cpu|fault:cpu,ladder.cross_check=1", -EINVAL, "cannot be the measure");
    assert_refused("ladder:cpu|fault:cpu,fault.script=open@*:lost", -ENODEV, "step 2");
}

struct run {
    struct network net;
    struct sl_accel *accel, *cpu;
    struct sl_program *program, *right;
    struct sl_accel_status status;
};

static void begin(struct run *run, const char *config)
{
    const struct conv_shape shape = {8, 3, 1, 1, 1, 1, 1};
    struct sl_error error = {""};
    network_begin(&run->net, 5);
    uint32_t x = add_map(&run->net, SL_F32, 1, 4, 8, 8);
    add_input(&run->net, x);
    add_output(&run->net, add_conv(&run->net, x, &shape));
    if (sl_accel_open(config, &run->accel, &error) != 0)
        fail_msg("%s", error.message);
    if (sl_accel_load(run->accel, &run->net.graph, &run->program, &error) != 0)
        fail_msg("%s", error.message);
    assert_int_equal(sl_accel_open("cpu", &run->cpu, &error), 0);
    assert_int_equal(sl_accel_load(run->cpu, &run->net.graph, &run->right, &error), 0);
}

static void end(struct run *run)
{
    sl_accel_unload(run->program);
    sl_accel_close(run->accel);
    sl_accel_unload(run->right);
    sl_accel_close(run->cpu);
    network_end(&run->net);
}

static int try_once(struct run *run, int64_t ms)
{
    struct sl_error error = {""};
    size_t bytes;
    void *input = sl_program_input(run->program, 0, &bytes);
    fill_random(&run->net.random, &run->net.tensors[0], input);
    memcpy(sl_program_input(run->right, 0, NULL), input, bytes);
    int status = sl_program_run(run->program, sl_host.now_ns() + ms * MS, &error);
    sl_accel_status(run->accel, &run->status);
    if (status == 0) {
        assert_int_equal(sl_program_run(run->right, SL_NO_DEADLINE, &error), 0);
        const void *expected = sl_program_output(run->right, 0, &bytes);
        assert_memory_equal(sl_program_output(run->program, 0, NULL), expected, bytes);
    }
    return status;
}

// One good answer, and which step gave it.
static void assert_answer(struct run *run, const char *actual)
{
    assert_int_equal(try_once(run, 2000), 0);
    assert_string_equal(run->status.actual, actual);
}

// Runs until the first step answers again.
static void await_first(struct run *run)
{
    const struct timespec pause = {0, 2 * MS};
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(try_once(run, 2000), 0);
        if (!run->status.reason[0])
            return;
        nanosleep(&pause, NULL);
    }
    fail_msg("the first step does not come back: %s", run->status.reason);
}

// The golden check takes the first two waits of a program.
static void test_one_failure_falls_through(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=wait@4:fail|cpu");
    assert_answer(&run, "fault:cpu");
    assert_string_equal(run.status.reason, "");
    assert_answer(&run, "cpu");
    assert_non_null(strstr(run.status.reason, "fault:cpu: "));
    assert_non_null(strstr(run.status.reason, "failed by script"));
    assert_int_equal(run.status.fallbacks, 1);
    assert_int_equal(run.status.steps, 0);
    assert_answer(&run, "fault:cpu");
    assert_string_equal(run.status.reason, "");
    assert_int_equal(run.status.failures, 0);
    end(&run);
}

static void test_taken_out_and_back(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=wait@3-5:fail|cpu,ladder.retry_ms=5");
    assert_answer(&run, "cpu");
    assert_answer(&run, "cpu");
    assert_int_equal(run.status.steps, 0);
    assert_answer(&run, "cpu");
    assert_true(run.status.steps >= 1);
    await_first(&run);
    assert_int_equal(run.status.steps, 2);
    end(&run);
}

static void test_lost_is_taken_out_at_once(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=wait@4:lost|cpu,ladder.retry_ms=5");
    assert_answer(&run, "fault:cpu");
    assert_answer(&run, "cpu");
    assert_true(run.status.steps >= 1);
    await_first(&run);
    end(&run);
}

static void test_hang_and_stuck(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=wait@3:hang+wait@8:stuck:400,ladder.deadline_ms=30|"
                "cpu,ladder.retry_ms=5");
    for (int i = 0; i < 10; i++)
        assert_int_equal(try_once(&run, 2000), 0);
    assert_true(run.status.fallbacks >= 1);
    await_first(&run);
    end(&run);
}

static void test_lies_are_found(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=wait@5:wrong|cpu,ladder.retry_ms=5,"
                "ladder.cross_check=1");
    assert_answer(&run, "fault:cpu");
    assert_answer(&run, "fault:cpu");
    assert_int_equal(run.status.alarms, 0);
    assert_int_equal(try_once(&run, 2000), 0);
    assert_int_equal(run.status.alarms, 1);
    assert_int_equal(run.status.checks, 3);
    await_first(&run);
    end(&run);
}

// One that always lies is never used: the check before the first run finds it.
static void test_liar_stays_out(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=wait@*:wrong|cpu,ladder.retry_ms=1");
    for (int i = 0; i < 20; i++)
        assert_answer(&run, "cpu");
    assert_non_null(strstr(run.status.reason, "differs"));
    end(&run);
}

static void test_missing_at_first(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=open@1-2:lost|cpu,ladder.retry_ms=20");
    assert_answer(&run, "cpu");
    await_first(&run);
    assert_string_equal(run.status.actual, "fault:cpu");
    end(&run);
}

static void test_isolated_crash(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:isolated:fault:cpu,fault.script=wait@4:crash|cpu,ladder.retry_ms=5");
    assert_answer(&run, "isolated:fault:cpu");
    assert_answer(&run, "cpu");
    assert_non_null(strstr(run.status.reason, "child"));
    await_first(&run);
    assert_string_equal(run.status.actual, "isolated:fault:cpu");
    end(&run);
}

static void test_all_fail(void **state)
{
    (void)state;
    struct run run;
    begin(&run, "ladder:fault:cpu,fault.script=wait@3:fail|fault:cpu,fault.script=wait@3:lost,"
                "ladder.retry_ms=5");
    assert_int_equal(try_once(&run, 2000), -ENODEV);
    assert_int_equal(run.status.failures, 1);
    await_first(&run);
    end(&run);
}

// Stands for a process that cannot be killed: works as cpu does until it is told to hang, and then
// still has the outputs' file mapped, at an address of its own.
static struct zombie {
    struct sl_inner cpu;
    atomic_bool hangs;
    unsigned char *output; // its view of the last output that was bound
    size_t bytes;
} zombie;

static int zombie_open(const struct sl_host *host, const char *device, const char *options,
                       void **out, struct sl_error *error)
{
    (void)device;
    (void)options;
    *out = &zombie;
    return sl_inner_open(host, "cpu", &zombie.cpu, error);
}

static void zombie_close(void *device)
{
    (void)device;
    zombie.cpu.backend->close(zombie.cpu.device);
    if (zombie.output)
        munmap(zombie.output, zombie.bytes);
    zombie.output = NULL;
}

static int zombie_compile(void *device, const struct sl_graph *graph, void **program,
                          struct sl_error *error)
{
    (void)device;
    return zombie.cpu.backend->compile(zombie.cpu.device, graph, program, error);
}

static void zombie_release(void *device, void *program)
{
    (void)device;
    zombie.cpu.backend->release(zombie.cpu.device, program);
}

static int zombie_bind_input(void *device, void *program, uint32_t index,
                             const struct sl_buffer *buffer, struct sl_error *error)
{
    (void)device;
    return zombie.cpu.backend->bind_input(zombie.cpu.device, program, index, buffer, error);
}

static int zombie_bind_output(void *device, void *program, uint32_t index,
                              const struct sl_buffer *buffer, struct sl_error *error)
{
    (void)device;
    if (zombie.output)
        munmap(zombie.output, zombie.bytes);
    zombie.bytes = buffer->bytes;
    zombie.output = mmap(NULL, zombie.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, buffer->fd,
                         (off_t)buffer->offset);
    assert_ptr_not_equal(zombie.output, MAP_FAILED);
    return zombie.cpu.backend->bind_output(zombie.cpu.device, program, index, buffer, error);
}

static int zombie_submit(void *device, void *program, struct sl_error *error)
{
    (void)device;
    return zombie.hangs ? 0 : zombie.cpu.backend->submit(zombie.cpu.device, program, error);
}

static int zombie_wait(void *device, void *program, int64_t deadline_ns, struct sl_error *error)
{
    (void)device;
    if (zombie.hangs)
        return sl_error_set(error, -ETIMEDOUT, "cannot be killed");
    return zombie.cpu.backend->wait(zombie.cpu.device, program, deadline_ns, error);
}

static int zombie_reset(void *device, struct sl_error *error)
{
    (void)device;
    return sl_error_set(error, -EIO, "cannot be killed");
}

static const struct sl_backend zombie_backend = {
    .abi = SL_ACCEL_ABI,
    .struct_size = sizeof(struct sl_backend),
    .name = "zombie",
    .version = "1",
    .open = zombie_open,
    .close = zombie_close,
    .compile = zombie_compile,
    .release = zombie_release,
    .bind_input = zombie_bind_input,
    .bind_output = zombie_bind_output,
    .submit = zombie_submit,
    .wait = zombie_wait,
    .reset = zombie_reset,
    .traits = SL_TRAIT_MEMFD | SL_TRAIT_PUNCTUAL,
};

// What it writes behind the deadline must not reach the answer of the next step.
static void test_late_writes_reach_nobody(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    assert_int_equal(sl_accel_register(&zombie_backend, &error), 0);
    begin(&run, "ladder:zombie|isolated:cpu|cpu,ladder.retry_ms=3600000");
    assert_answer(&run, "zombie");
    size_t bytes;
    const void *output = sl_program_output(run.program, 0, &bytes);
    unsigned char *kept =
        mmap(NULL, zombie.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(kept, MAP_FAILED);
    assert_memory_equal(zombie.output, output, bytes); // the same pages
    unsigned char *view = zombie.output;               // the zombie's process goes on with it
    zombie.output = NULL;
    zombie.hangs = true;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(try_once(&run, 2000), 0);
        assert_string_equal(run.status.actual, "isolated:cpu");
        memcpy(kept, output, bytes);
        memset(view, 0xaa, bytes);
        assert_memory_equal(output, kept, bytes);
        assert_ptr_equal(sl_program_output(run.program, 0, NULL), output);
    }
    zombie.hangs = false;
    munmap(kept, bytes);
    munmap(view, bytes);
    end(&run);
}

static void test_two_programs(void **state)
{
    (void)state;
    struct run run;
    struct sl_program *second;
    struct sl_error error = {""};
    begin(&run, "ladder:fault:cpu,fault.script=wait@6:lost|cpu,ladder.retry_ms=5");
    assert_int_equal(sl_accel_load(run.accel, &run.net.graph, &second, &error), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(try_once(&run, 2000), 0);
        assert_int_equal(sl_program_run(second, sl_host.now_ns() + 2000 * MS, &error), 0);
    }
    await_first(&run);
    sl_accel_unload(second);
    end(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_one_failure_falls_through),
        cmocka_unit_test(test_taken_out_and_back),
        cmocka_unit_test(test_lost_is_taken_out_at_once),
        cmocka_unit_test(test_hang_and_stuck),
        cmocka_unit_test(test_lies_are_found),
        cmocka_unit_test(test_liar_stays_out),
        cmocka_unit_test(test_missing_at_first),
        cmocka_unit_test(test_isolated_crash),
        cmocka_unit_test(test_all_fail),
        cmocka_unit_test(test_late_writes_reach_nobody),
        cmocka_unit_test(test_two_programs),
    };
    setenv("SIGHTLINE_ACCEL_HOST", SL_BUILD_DIR "/sightline-accel-host", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
