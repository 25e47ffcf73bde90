// Which kernels run on which x86: instruction sets from what the processor answers, the request for
// AMX's tiles refused, and the table of kernels for machines that lack a set.
#include "accel/cpu/features.h"

// The table is filled as on a machine with the sets of `sets_of_machine`.
#define cpu_kernels_fill fill_for_machine
#include "accel/cpu/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SET(isa) (1u << (isa))

static uint32_t sets_of_machine;
#define cpu_isa_sets() sets_of_machine
#include "accel/cpu/kernels.c"
#undef cpu_isa_sets

// All bits of a machine that has everything.
static struct cpu_x86_answers answers_of_all(void)
{
    return (struct cpu_x86_answers){.leaf1_c = 1u << 27 | 1u << 28 | 1u << 12,
                                    .xcr0 = 0x600E7,
                                    .leaf7_b = 1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31,
                                    .leaf7_c = 1u << 1 | 1u << 11,
                                    .leaf7_d = 1u << 24 | 1u << 25,
                                    .leaf7_1_a = 1u << 4};
}

static int requests;

static bool granted(void)
{
    requests++;
    return true;
}

static bool refused(void)
{
    requests++;
    return false;
}

#define WITH_AVX2   (SET(CPU_C) | SET(CPU_AVX2))
#define WITH_VNNI   (WITH_AVX2 | SET(CPU_AVXVNNI))
#define WITH_VBMI   (WITH_VNNI | SET(CPU_AVX512VBMI))
#define WITH_AVX512 (WITH_VBMI | SET(CPU_AVX512VNNI))
#define WITH_AMX    (WITH_AVX512 | SET(CPU_AMX))

static void test_everything(void **state)
{
    (void)state;
    struct cpu_x86_answers all = answers_of_all();
    requests = 0;
    assert_int_equal(cpu_x86_sets(&all, CPU_ISAS, granted), WITH_AMX);
    assert_int_equal(requests, 1);
}

// Each bit that is missing takes with it what needs it, and nothing else.
static void test_missing_bits(void **state)
{
    (void)state;
    static const struct {
        size_t word;
        uint32_t bits, sets;
    } cases[] = {
#define MISSING(word, bits, sets) {offsetof(struct cpu_x86_answers, word), bits, sets}
        MISSING(leaf1_c, 1u << 27, SET(CPU_C)), // XGETBV must not be used
        MISSING(leaf1_c, 1u << 28, SET(CPU_C)),
        MISSING(leaf1_c, 1u << 12, SET(CPU_C)),
        MISSING(leaf7_b, 1u << 5, SET(CPU_C)),
        MISSING(xcr0, 0x2, SET(CPU_C)),
        MISSING(xcr0, 0x4, SET(CPU_C)),
        MISSING(leaf7_1_a, 1u << 4, WITH_AMX & ~SET(CPU_AVXVNNI)),
        MISSING(leaf7_b, 1u << 16, WITH_VNNI),
        MISSING(leaf7_b, 1u << 17, WITH_VNNI),
        MISSING(leaf7_b, 1u << 30, WITH_VNNI),
        MISSING(leaf7_b, 1u << 31, WITH_VNNI),
        MISSING(leaf7_c, 1u << 1, WITH_AMX & ~SET(CPU_AVX512VBMI)),
        MISSING(leaf7_c, 1u << 11, WITH_VBMI),
        MISSING(xcr0, 0x20, WITH_VNNI),
        MISSING(xcr0, 0x40, WITH_VNNI),
        MISSING(xcr0, 0x80, WITH_VNNI),
        MISSING(leaf7_d, 1u << 24, WITH_AVX512),
        MISSING(leaf7_d, 1u << 25, WITH_AVX512),
        MISSING(xcr0, 0x20000, WITH_AVX512),
        MISSING(xcr0, 0x40000, WITH_AVX512),
#undef MISSING
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct cpu_x86_answers answers = answers_of_all();
        uint32_t *word = (uint32_t *)(void *)((char *)&answers + cases[i].word);
        *word &= ~cases[i].bits;
        requests = 0;
        assert_int_equal(cpu_x86_sets(&answers, CPU_ISAS, granted), cases[i].sets);
        assert_int_equal(requests, (cases[i].sets & SET(CPU_AMX)) != 0);
    }
}

static void test_tiles_refused(void **state)
{
    (void)state;
    struct cpu_x86_answers all = answers_of_all();
    requests = 0;
    assert_int_equal(cpu_x86_sets(&all, CPU_ISAS, refused), WITH_AVX512);
    assert_int_equal(requests, 1);
}

// Who caps the set below AMX does not enlarge the context of the process.
static void test_tiles_not_wanted(void **state)
{
    (void)state;
    struct cpu_x86_answers all = answers_of_all();
    requests = 0;
    assert_false(cpu_x86_sets(&all, CPU_AVX512VNNI, granted) & SET(CPU_AMX));
    assert_int_equal(requests, 0);
}

// The system's own answer: asking again does not change it.
static void test_request(void **state)
{
    (void)state;
    bool first = cpu_x86_request_tiles();
    assert_int_equal(cpu_x86_request_tiles(), first);
    assert_true(first || !(cpu_isa_sets() & SET(CPU_AMX)));
}

static void assert_dot(uint32_t sets, enum cpu_isa cap, cpu_conv_dot_fn *dot,
                       cpu_conv_tiles_fn *tiles, enum cpu_int8 int8)
{
    struct cpu_kernels kernels = {.isa = CPU_C};
    sets_of_machine = sets;
    fill_for_machine(&kernels, cap);
    assert_ptr_equal(kernels.conv_dot, dot);
    assert_ptr_equal(kernels.conv_tiles, tiles);
    assert_int_equal(kernels.int8, int8);
}

static void test_table(void **state)
{
    (void)state;
    const uint32_t no_vnni = ~SET(CPU_AVXVNNI);
    assert_dot(SET(CPU_C), CPU_C, cpu_conv_dot_c, cpu_conv_tiles_c, CPU_INT8_S16);
    assert_dot(WITH_AVX2, CPU_AVX2, cpu_conv_dot_c, cpu_conv_tiles_c, CPU_INT8_WINOGRAD);
    assert_dot(WITH_VNNI, CPU_AVXVNNI, cpu_conv_dot_avxvnni, cpu_conv_tiles_c, CPU_INT8_DOT);
    assert_dot(WITH_AVX512, CPU_AVX512VNNI, cpu_conv_dot_avx512vnni, cpu_conv_tiles_c,
               CPU_INT8_DOT);
    assert_dot(WITH_AMX, CPU_AMX, cpu_conv_dot_avx512vnni, cpu_conv_tiles_amx, CPU_INT8_DOT);
    // Capped, or without a set that stands before the best one.
    assert_dot(WITH_AMX, CPU_AVX512VNNI, cpu_conv_dot_avx512vnni, cpu_conv_tiles_c, CPU_INT8_DOT);
    assert_dot(WITH_AMX, CPU_AVXVNNI, cpu_conv_dot_avxvnni, cpu_conv_tiles_c, CPU_INT8_DOT);
    assert_dot(WITH_AMX & no_vnni, CPU_AVXVNNI, cpu_conv_dot_c, cpu_conv_tiles_c,
               CPU_INT8_WINOGRAD);
    assert_dot(WITH_AVX512 & no_vnni, CPU_AVX512VNNI, cpu_conv_dot_avx512vnni, cpu_conv_tiles_c,
               CPU_INT8_DOT);
    // A cap above what the machine has gives nothing that it lacks.
    assert_dot(WITH_AVX512, CPU_AMX, cpu_conv_dot_avx512vnni, cpu_conv_tiles_c, CPU_INT8_DOT);
    assert_dot(WITH_AVX2, CPU_AMX, cpu_conv_dot_c, cpu_conv_tiles_c, CPU_INT8_WINOGRAD);
}

// Whatever the sets, no slot holds a kernel of a set that is missing or above the cap.
static void test_no_kernel_of_others(void **state)
{
    (void)state;
    for (uint32_t sets = 0; sets < SET(CPU_AMX + 1); sets++)
        for (int cap = CPU_C; cap <= CPU_AMX; cap++) {
            struct cpu_kernels kernels = {.isa = CPU_C};
            sets_of_machine = sets | SET(CPU_C);
            fill_for_machine(&kernels, (enum cpu_isa)cap);
#define KERNEL(slot, isa, function)                                                                \
    if (kernels.slot == (function))                                                                \
        assert_true((int)(isa) <= cap && (sets_of_machine & SET(isa)));
#include "accel/cpu/kernels.def"
#undef KERNEL
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_missing_bits),
        cmocka_unit_test(test_tiles_refused),
        cmocka_unit_test(test_tiles_not_wanted),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_no_kernel_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
