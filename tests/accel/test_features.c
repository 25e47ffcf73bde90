// Instruction sets: names, the cap, and that the table of kernels keeps to both.
#include "accel/accel.h"
#include "accel/cpu/ceiling.h"
#include "accel/cpu/kernels.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int forget_cap(void **state)
{
    (void)state;
    return unsetenv("SIGHTLINE_CPU");
}

static bool is_ours(enum cpu_isa isa)
{
    enum cpu_isa parsed;
    return cpu_isa_parse(cpu_isa_name(isa), &parsed);
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < CPU_ISAS; i++) {
        enum cpu_isa isa = CPU_ISAS;
        const char *name = cpu_isa_name((enum cpu_isa)i);
        bool listed = strstr(cpu_isa_names(), name) != NULL;
        assert_int_equal(cpu_isa_parse(name, &isa), listed);
        assert_int_equal(isa, listed ? i : CPU_ISAS);
    }
}

static void test_names_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "C", "avx", "avx2 ", "avx512", "neon,", "mmx", "sve2"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        enum cpu_isa isa = CPU_ISAS;
        assert_false(cpu_isa_parse(wrong[i], &isa));
        assert_int_equal(isa, CPU_ISAS);
    }
#if defined(__aarch64__)
    static const char *const foreign[] = {"avx2", "avxvnni", "avx512vbmi", "avx512vnni", "amx"};
#else
    static const char *const foreign[] = {"neon", "neondot", "neoni8mm"};
#endif
    for (size_t i = 0; i < sizeof(foreign) / sizeof(*foreign); i++) {
        enum cpu_isa isa;
        assert_false(cpu_isa_parse(foreign[i], &isa));
    }
}

// No processor has sets of another architecture, and none has more with a cap than without.
static void test_cap(void **state)
{
    (void)state;
    const uint32_t all = cpu_isa_sets();
    assert_true(all & 1u << CPU_C);
    assert_true(all & 1u << cpu_isa_best());
    for (int i = 0; i < CPU_ISAS; i++) {
        if (!is_ours((enum cpu_isa)i)) {
            assert_int_equal(all & 1u << i, 0);
            continue;
        }
        setenv("SIGHTLINE_CPU", cpu_isa_name((enum cpu_isa)i), 1);
        assert_int_equal(cpu_isa_sets(), all & ((2u << i) - 1));
        assert_true(cpu_isa_best() <= (enum cpu_isa)i);
    }
}

static void test_unknown_cap_is_refused(void **state)
{
    (void)state;
    struct sl_accel *accel = NULL;
    struct sl_error error = {""};
    setenv("SIGHTLINE_CPU", "avx-512", 1);
    assert_int_equal(sl_accel_open("cpu", &accel, &error), -EINVAL);
    assert_null(accel);
    assert_non_null(strstr(error.message, "SIGHTLINE_CPU"));
    assert_non_null(strstr(error.message, cpu_isa_names()));
    assert_non_null(strstr(error.message, "'avx-512'"));
}

// A kernel's function stands in the table only where its set is allowed.
static void test_table_keeps_to_the_cap(void **state)
{
    (void)state;
    for (int cap = 0; cap < CPU_ISAS; cap++) {
        struct cpu_kernels kernels = {0};
        uint32_t allowed = cpu_isa_sets() & ((2u << cap) - 1);
        cpu_kernels_fill(&kernels, (enum cpu_isa)cap);
#define KERNEL(slot, set, function)                                                                \
    assert_non_null(kernels.slot);                                                                 \
    if (!(allowed & 1u << (set)))                                                                  \
        assert_true(kernels.slot != function);
#include "accel/cpu/kernels.def"
#undef KERNEL
    }
}

static void test_ceilings(void **state)
{
    (void)state;
    const uint32_t sets = cpu_isa_sets();
    for (int i = 0; i < CPU_ISAS; i++)
        if (sets & 1u << i)
            assert_true(cpu_ceiling(cpu_isa_name((enum cpu_isa)i)) > 0);
    assert_true(cpu_ceiling("mmx") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_refused),
        cmocka_unit_test_setup_teardown(test_cap, forget_cap, forget_cap),
        cmocka_unit_test_setup_teardown(test_unknown_cap_is_refused, forget_cap, forget_cap),
        cmocka_unit_test_setup_teardown(test_table_keeps_to_the_cap, forget_cap, forget_cap),
        cmocka_unit_test_setup_teardown(test_ceilings, forget_cap, forget_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
