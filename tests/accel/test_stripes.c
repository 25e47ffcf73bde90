// Stripes of rows through groups of layers: the same bytes as layer by layer, with less memory.
#include "tests/accel/random_network.h"

#include "accel/cpu/cache.h"
#include "accel/tensor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

struct loaded {
    struct sl_accel *accel;
    struct sl_program *program;
};

static struct loaded load(const struct network *net, const char *config)
{
    struct sl_error error = {""};
    struct loaded loaded;
    if (sl_accel_open(config, &loaded.accel, &error) != 0 ||
        sl_accel_load(loaded.accel, &net->graph, &loaded.program, &error) != 0)
        fail_msg("%s: %s", config, error.message);
    return loaded;
}

static void unload(const struct loaded *loaded)
{
    sl_accel_unload(loaded->program);
    sl_accel_close(loaded->accel);
}

static void run(const struct network *net, struct loaded *loaded, uint64_t seed)
{
    struct random random = {seed};
    struct sl_error error = {""};
    for (uint32_t i = 0; i < net->graph.n_inputs; i++)
        fill_random(&random, &net->tensors[net->inputs[i]],
                    sl_program_input(loaded->program, i, NULL));
    assert_int_equal(sl_program_run(loaded->program, SL_NO_DEADLINE, &error), 0);
}

// Steps that the program runs in stripes.
static int striped_steps(const struct loaded *loaded)
{
    char text[128];
    int steps = -1;
    sl_program_remark(loaded->program, text, sizeof(text));
    assert_int_equal(sscanf(text, "%d of ", &steps), 1);
    return steps;
}

// Runs twice with different pictures: nothing may be left of the first.
static int compare(const struct network *net, const char *whole, const char *striped, uint64_t seed)
{
    struct loaded want = load(net, whole), have = load(net, striped);
    for (uint64_t picture = 1; picture <= 2; picture++) {
        run(net, &want, seed + picture);
        run(net, &have, seed + picture);
        for (uint32_t i = 0; i < net->graph.n_outputs; i++) {
            const void *a = sl_program_output(want.program, i, NULL);
            const void *b = sl_program_output(have.program, i, NULL);
            if (memcmp(a, b, (size_t)net->tensors[net->outputs[i]].bytes) != 0)
                fail_msg("seed %llu, %s: output %u differs", (unsigned long long)seed, striped, i);
        }
    }
    int steps = striped_steps(&have);
    assert_int_equal(striped_steps(&want), 0);
    unload(&want);
    unload(&have);
    return steps;
}

static int rounds(int usual)
{
#if defined(__SANITIZE_THREAD__)
    return usual / 15;
#endif
    return getenv("SIGHTLINE_EMULATED") ? usual / 15 : usual;
}

static void test_any_height(void **state)
{
    (void)state;
    static const uint32_t dtypes[] = {SL_U8, SL_I8, SL_F32};
    static const char *const kinds[] = {"", ",isa=c,int8=winograd", ",int8=dot", ",int8=s16",
                                        ",int8=matrix"};
    int steps = 0, count = rounds(90);
    for (int i = 0; i < count; i++) {
        struct network net;
        uint64_t seed = 991000u + (uint64_t)i;
        random_tall_network(&net, seed, dtypes[i % 3]);
        char whole[64], striped[96];
        int rows = (int)random_in(&net.random, 1, 17), threads = (int)random_in(&net.random, 1, 3);
        snprintf(whole, sizeof(whole), "cpu,stripes=no%s", kinds[i % 5]);
        snprintf(striped, sizeof(striped), "cpu,stripes=%d,threads=%d%s", rows, threads,
                 kinds[i % 5]);
        steps += compare(&net, whole, striped, seed);
        network_end(&net);
    }
    assert_true(steps > 2 * count);
}

// Three maps of 1.5 MiB, of which only some rows are there at the same time.
static void test_memory(void **state)
{
    (void)state;
    struct network net;
    network_begin(&net, 5);
    uint32_t x = add_map(&net, SL_U8, 1, 16, 384, 256);
    set_quant(&net, x, 0.05f, 0);
    add_input(&net, x);
    const struct conv_shape shape = {16, 3, 1, 1, 1, 1, 1}, last = {4, 3, 3, 1, 1, 1, 0};
    for (int i = 0; i < 3; i++)
        x = add_conv(&net, x, &shape);
    add_output(&net, add_conv(&net, x, &last));
    struct loaded whole = load(&net, "cpu,stripes=no"), striped = load(&net, "cpu,stripes=9");
    uint64_t more = sl_program_footprint(whole.program).arena;
    uint64_t less = sl_program_footprint(striped.program).arena;
    assert_true(more > 3 << 20);
    assert_in_range(less, 1, more - (2 << 20));
    unload(&whole);
    unload(&striped);
    network_end(&net);
}

static void test_bad_options(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "-1", "65537", "some", "8x", "", "1e3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char config[64];
        struct sl_accel *accel = NULL;
        struct sl_error error = {""};
        snprintf(config, sizeof(config), "cpu,stripes=%s", bad[i]);
        assert_int_equal(sl_accel_open(config, &accel, &error), -EINVAL);
        assert_non_null(strstr(error.message, "stripes"));
        assert_non_null(strstr(error.message, bad[i]));
        assert_null(accel);
    }
}

static char root[] = "/tmp/sl-cache-XXXXXX";

static void write_cache(int index, const char *level, const char *type, const char *size)
{
    const char *const names[] = {"level", "type", "size"}, *const texts[] = {level, type, size};
    char path[256], *folder = path + sizeof(root) - 1;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/devices/system/cpu/cpu0/cache/index%d/%s", root, index,
                 names[i]);
        for (char *at = folder + 1; (at = strchr(at, '/')); at++) {
            *at = '\0';
            mkdir(path, 0700);
            *at = '/';
        }
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(texts[i], file);
        fclose(file);
    }
}

static void test_cache_size(void **state)
{
    (void)state;
    assert_int_equal(cpu_cache_bytes("/nowhere"), CPU_CACHE_DEFAULT);
    assert_non_null(mkdtemp(root));
    write_cache(0, "1\n", "Data\n", "32K\n");
    assert_int_equal(cpu_cache_bytes(root), CPU_CACHE_DEFAULT);
    write_cache(1, "2\n", "Instruction\n", "64K\n");
    write_cache(2, "2\n", "Unified\n", "2048K\n");
    write_cache(3, "3\n", "Unified\n", "32768K\n");
    assert_int_equal(cpu_cache_bytes(root), 2 << 20);
    static const char *const odd[] = {"0K\n", "2M\n", "-1K\n", "99999999K\n", "K\n", "", "12\n"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        write_cache(2, "2\n", "Unified\n", odd[i]);
        assert_int_equal(cpu_cache_bytes(root), CPU_CACHE_DEFAULT);
    }
    char command[64];
    snprintf(command, sizeof(command), "rm -r %s", root);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_height),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_cache_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
