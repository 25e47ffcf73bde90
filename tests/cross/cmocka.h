// The part of cmocka that the tests of accel/ use, for a cross build: the library is installed for
// the machine that builds only. A failed assertion ends its test, the next one runs.
#ifndef TESTS_CROSS_CMOCKA_H
#define TESTS_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
    int (*setup)(void **state), (*teardown)(void **state);
};

enum { CMOCKA_FAILED = 1, CMOCKA_SKIPPED };
static jmp_buf cmocka_leave;

static inline _Noreturn void cmocka_fail(const char *file, int line)
{
    fprintf(stderr, "    %s:%d\n", file, line);
    longjmp(cmocka_leave, CMOCKA_FAILED);
}

static inline _Noreturn void skip(void)
{
    longjmp(cmocka_leave, CMOCKA_SKIPPED);
}

static inline int cmocka_run(const struct CMUnitTest *test, void **state)
{
    int outcome = setjmp(cmocka_leave);
    if (outcome == 0)
        test->run(state);
    return outcome;
}

static inline int cmocka_run_tests(const struct CMUnitTest *tests, size_t count)
{
    static const char *const outcomes[] = {"ok", "FAILED", "skipped"};
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        void *state = NULL;
        int outcome = CMOCKA_FAILED;
        if (!tests[i].setup || tests[i].setup(&state) == 0)
            outcome = cmocka_run(&tests[i], &state);
        if (tests[i].teardown && tests[i].teardown(&state) != 0)
            outcome = CMOCKA_FAILED;
        printf("%-8s %s\n", outcomes[outcome], tests[i].name);
        failed += outcome == CMOCKA_FAILED;
    }
    return failed;
}

#define cmocka_unit_test(test)                                                                     \
    {                                                                                              \
#test, test, NULL, NULL                                                                    \
    }
#define cmocka_unit_test_setup_teardown(test, setup, teardown)                                     \
    {                                                                                              \
#test, test, setup, teardown                                                               \
    }
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    ((void)(setup), (void)(teardown), cmocka_run_tests(tests, sizeof(tests) / sizeof(*(tests))))

#define fail_msg(...)                                                                              \
    (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), cmocka_fail(__FILE__, __LINE__))
#define fail() cmocka_fail(__FILE__, __LINE__)
#define assert_true(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("expected: %s", #condition);                                                  \
    } while (0)
#define assert_false(condition)  assert_true(!(condition))
#define assert_non_null(pointer) assert_true((pointer) != NULL)
#define assert_null(pointer)     assert_true((pointer) == NULL)
#define assert_ptr_equal(a, b)   assert_true((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b)                                                                     \
    do {                                                                                           \
        long long cmocka_a = (long long)(a), cmocka_b = (long long)(b);                            \
        if (cmocka_a != cmocka_b)                                                                  \
            fail_msg("%s is %lld, expected %s = %lld", #a, cmocka_a, #b, cmocka_b);                \
    } while (0)
#define assert_string_equal(a, b)                                                                  \
    do {                                                                                           \
        const char *cmocka_a = (a), *cmocka_b = (b);                                               \
        if (strcmp(cmocka_a, cmocka_b) != 0)                                                       \
            fail_msg("%s is '%s', expected '%s'", #a, cmocka_a, cmocka_b);                         \
    } while (0)
#define assert_memory_equal(a, b, size)     assert_true(memcmp(a, b, size) == 0)
#define assert_memory_not_equal(a, b, size) assert_true(memcmp(a, b, size) != 0)
#define assert_in_range(value, low, high)   assert_true((value) >= (low) && (value) <= (high))

#endif
