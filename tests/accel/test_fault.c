// The fault back end: scripts that are refused, and faults that do what they say.
#include "tests/accel/network.h"

#include "accel/fault/script.h"
#include "accel/registry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MS 1000000

static void assert_refused(const char *options, const char *part)
{
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    char config[256];
    snprintf(config, sizeof(config), "fault:cpu,%s", options);
    assert_int_equal(sl_accel_open(config, &accel, &error), -EINVAL);
    assert_null(accel);
    if (!strstr(error.message, part))
        fail_msg("expected '%s' in: %s", part, error.message);
}

static void test_refusals(void **state)
{
    (void)state;
    struct sl_error error = {""};
    struct sl_accel *accel = NULL;
    assert_int_equal(sl_accel_open("fault", &accel, &error), -EINVAL);
    assert_non_null(strstr(error.message, "nothing to wrap, expected fault:BACKEND"));
    assert_int_equal(sl_accel_open("fault:npu", &accel, &error), -ENOENT);
    assert_refused("fault.speed=1", "option 'fault.speed' is not known");
    assert_refused("fault.script", "expected KEY=VALUE");
    assert_refused("fault.script=wait", "rule 'wait': expected CALL@WHEN:ACTION");
    assert_refused("fault.script=wait@1", "expected CALL@WHEN:ACTION");
    assert_refused("fault.script=run@1:fail", "call 'run'");
    assert_refused("fault.script=wait@0:fail", "found '0'");
    assert_refused("fault.script=wait@5-4:fail", "expected 5");
    assert_refused("fault.script=wait@1/0:fail", "found '0'");
    assert_refused("fault.script=wait@1:explode", "action 'explode'");
    assert_refused("fault.script=wait@1:delay", "expected a time");
    assert_refused("fault.script=wait@1:fail:3", "takes no number");
    assert_refused("fault.script=submit@1:hang", "for wait alone");
    assert_refused("fault.script=wait@1:fail+", "rule ''");
    assert_refused("fault.random=0", "found '0'");
    assert_refused("fault.kinds=fail+bad", "'bad' is no action");
    assert_refused("speed=9", "option 'speed' is not known");
}

struct run {
    struct network net;
    struct sl_accel *accel;
    struct sl_program *program;
};

static int begin(struct run *run, const char *config, struct sl_error *error)
{
    const struct conv_shape shape = {8, 3, 1, 1, 1, 1, 1};
    run->program = NULL;
    run->accel = NULL;
    network_begin(&run->net, 5);
    uint32_t x = add_map(&run->net, SL_F32, 1, 4, 8, 8);
    add_input(&run->net, x);
    add_output(&run->net, add_conv(&run->net, x, &shape));
    int status = sl_accel_open(config, &run->accel, error);
    if (status == 0)
        status = sl_accel_load(run->accel, &run->net.graph, &run->program, error);
    if (status == 0)
        memset(sl_program_input(run->program, 0, NULL), 1, 4 * 64 * sizeof(float));
    return status;
}

static void end(struct run *run)
{
    sl_accel_unload(run->program);
    sl_accel_close(run->accel);
    network_end(&run->net);
}

static int once(struct run *run, int64_t ms)
{
    struct sl_error error;
    return sl_program_run(run->program, sl_host.now_ns() + ms * MS, &error);
}

static void test_faults(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    assert_int_equal(begin(&run,
                           "fault:cpu,threads=1,fault.script=submit@2:fail+wait@3-4:fail+"
                           "wait@6:delay:20+wait@7:lost",
                           &error),
                     0);
    assert_int_equal(once(&run, 1000), 0);
    assert_int_equal(once(&run, 1000), -EIO);
    assert_int_equal(once(&run, 1000), 0);
    assert_int_equal(once(&run, 1000), -EIO);
    assert_int_equal(once(&run, 1000), -EIO);
    assert_int_equal(once(&run, 1000), 0);
    assert_int_equal(once(&run, 5), -ETIMEDOUT);
    assert_int_equal(once(&run, 1000), -ENODEV);
    assert_int_equal(once(&run, 1000), -ENODEV);
    struct sl_accel_status status;
    sl_accel_status(run.accel, &status);
    assert_string_equal(status.actual, "fault:cpu");
    assert_int_equal(status.timeouts, 1);
    assert_int_equal(status.failures, 5);
    end(&run);
}

static void test_wrong_output(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    float right[64], wrong[64];
    assert_int_equal(begin(&run, "fault:cpu,fault.script=wait@2:wrong", &error), 0);
    assert_int_equal(once(&run, 1000), 0);
    memcpy(right, sl_program_output(run.program, 0, NULL), sizeof(right));
    assert_int_equal(once(&run, 1000), 0);
    memcpy(wrong, sl_program_output(run.program, 0, NULL), sizeof(wrong));
    assert_memory_not_equal(right, wrong, 64);
    assert_int_equal(once(&run, 1000), 0);
    assert_memory_equal(right, sl_program_output(run.program, 0, NULL), sizeof(right));
    end(&run);
}

static void test_open_and_compile(void **state)
{
    (void)state;
    struct run run;
    struct sl_error error = {""};
    assert_int_equal(begin(&run, "fault:cpu,fault.script=open@1:lost+open@3:fail", &error),
                     -ENODEV);
    end(&run);
    assert_int_equal(begin(&run, "fault:cpu,fault.script=open@1:lost+open@3:fail", &error), 0);
    end(&run);
    assert_int_equal(begin(&run, "fault:cpu,fault.script=compile@1:fail", &error), -EIO);
    end(&run);
    assert_int_equal(begin(&run, "fault:cpu,fault.script=bind@2:fail", &error), -EIO);
    end(&run);
}

static void test_chance_is_seeded(void **state)
{
    (void)state;
    struct fault_script a = {
        .random = 10, .kinds = 1u << FAULT_FAIL | 1u << FAULT_WRONG, .seed = 3};
    struct fault_script b = a;
    uint32_t faults = 0;
    for (int i = 0; i < 10000; i++) {
        enum fault_action action = fault_script_next(&a, FAULT_WAIT).action;
        assert_int_equal(action, fault_script_next(&b, FAULT_WAIT).action);
        assert_true(action == FAULT_NONE || action == FAULT_FAIL || action == FAULT_WRONG);
        faults += action != FAULT_NONE;
    }
    assert_in_range(faults, 800, 1200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_faults),
        cmocka_unit_test(test_wrong_output),     cmocka_unit_test(test_open_and_compile),
        cmocka_unit_test(test_chance_is_seeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
