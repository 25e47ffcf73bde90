// Plug-ins of other times and broken ones: what loads runs, what does not is refused by name. That
// sizes and offsets stay is pinned in test_abi.c; a host of version 1 is abi_v1_host.c.
#include "accel/plugins.h"
#include "tests/accel/network.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PLUGINS SL_BUILD_DIR "/tests/accel/plugins"

static char folder[] = "/tmp/sl-plugins-XXXXXX";

struct told {
    int count;
    char file[32], message[SL_ERROR_MAX];
};

static void note(void *ctx, const char *file, const char *message)
{
    struct told *told = ctx;
    told->count++;
    snprintf(told->file, sizeof(told->file), "%s", file);
    snprintf(told->message, sizeof(told->message), "%s", message);
}

static void copy(const char *from, const char *name, size_t limit, mode_t mode)
{
    char path[256];
    static char bytes[4 << 20];
    FILE *file = fopen(from, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    size = limit && limit < size ? limit : size;
    assert_true(fwrite(bytes, 1, size, file) == size);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void forget(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    unlink(path);
}

static struct told load(void)
{
    struct told told = {0};
    struct sl_error error = {""};
    if (sl_plugins_load(folder, note, &told, &error) != 0)
        fail_msg("%s", error.message);
    return told;
}

static void assert_refused(const char *plugin, const char *part)
{
    char path[256];
    snprintf(path, sizeof(path), PLUGINS "/%s.so", plugin);
    copy(path, "a.so", 0, 0755);
    const struct told told = load();
    forget("a.so");
    assert_int_equal(told.count, 1);
    assert_string_equal(told.file, "a.so");
    if (!strstr(told.message, part))
        fail_msg("expected '%s' in: %s", part, told.message);
}

static void test_broken(void **state)
{
    (void)state;
    assert_refused("broken_1", "no symbol sightline_backend");
    assert_refused("broken_2", "does not serve ABI 1");
    assert_refused("broken_3", "ABI 2, expected 1");
    assert_refused("broken_4", "a table of 16 bytes lacks members");
    assert_refused("broken_5", "back end 'broken': no 'open'");
    assert_refused("broken_6", "the name must have");
}

static void test_files(void **state)
{
    (void)state;
    struct told told;
    static const struct {
        size_t size;
        mode_t mode;
        const char *part;
    } cases[] = {
        {1000, 0755, "cut: its segments go on behind its 1000 bytes"}, // cut
        {5000, 0755, "cut: its segments"},
        {3, 0755, "not a shared object"},       // no ELF
        {0, 0777, "others may write it"},       // by anybody
        {0, 0775, "others may write it (mode"}, // by the group
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        copy(PLUGINS "/version1.so", "b.so", cases[i].size, cases[i].mode);
        told = load();
        forget("b.so");
        assert_int_equal(told.count, 1);
        if (!strstr(told.message, cases[i].part))
            fail_msg("expected '%s' in: %s", cases[i].part, told.message);
    }
    char path[256];
    snprintf(path, sizeof(path), "%s/c.so", folder);
    assert_int_equal(symlink(PLUGINS "/version1.so", path), 0);
    told = load();
    assert_int_equal(told.count, 1);
    unlink(path);
    assert_int_equal(mkdir(path, 0755), 0);
    told = load();
    assert_non_null(strstr(told.message, "not a file"));
    rmdir(path);
    copy(PLUGINS "/version1.so", "no-plugin.txt", 0, 0755);
    assert_int_equal(load().count, 0);
    forget("no-plugin.txt");
}

static void assert_folder_refused(const char *path, int status, const char *part)
{
    struct sl_error error = {""};
    assert_int_equal(sl_plugins_load(path, NULL, NULL, &error), status);
    if (!strstr(error.message, part))
        fail_msg("expected '%s' in: %s", part, error.message);
}

static void test_folders(void **state)
{
    (void)state;
    assert_folder_refused("backends", -EINVAL, "not an absolute path");
    assert_folder_refused("", -EINVAL, "not an absolute path");
    assert_folder_refused("/nonexistent", -ENOENT, "No such file");
    assert_folder_refused("/etc/passwd", -ENOTDIR, "/etc/passwd");
    assert_int_equal(chmod(folder, 0777), 0);
    assert_folder_refused(folder, -EPERM, "others may write it (mode 777)");
    assert_int_equal(chmod(folder, 0755), 0);
}

// y = relu(x) + relu(x) on the back end of that name.
static void assert_runs(const char *name)
{
    struct network net;
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    struct sl_error error = {""};
    network_begin(&net, 3);
    const int64_t dims[1] = {100};
    uint32_t x = add_tensor(&net, SL_F32, 1, dims), r = add_tensor(&net, SL_F32, 1, dims);
    uint32_t y = add_tensor(&net, SL_F32, 1, dims);
    const uint32_t operands[2] = {r, r};
    add_input(&net, x);
    add_node(&net, SL_OP_UNARY, 1, &x, r)->attrs.unary.kind = SL_UNARY_RELU;
    add_node(&net, SL_OP_BINARY, 2, operands, y)->attrs.binary = SL_BINARY_ADD;
    add_output(&net, y);
    if (sl_accel_open(name, &accel, &error) || sl_accel_load(accel, &net.graph, &program, &error))
        fail_msg("%s", error.message);
    float *in = sl_program_input(program, 0, NULL);
    for (int i = 0; i < 100; i++)
        in[i] = (float)(i - 50);
    assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0);
    const float *out = sl_program_output(program, 0, NULL);
    for (int i = 0; i < 100; i++)
        assert_true(out[i] == (i > 50 ? 2.0f * (float)(i - 50) : 0.0f));
    assert_int_equal(sl_program_run(program, 0, &error), -ETIMEDOUT);
    assert_int_equal(sl_program_run(program, SL_NO_DEADLINE, &error), 0);
    // What an old table lacks has a default.
    struct sl_accel_status status;
    sl_accel_status(accel, &status);
    assert_int_equal(status.health.ok, 1);
    assert_int_equal((int)sl_program_footprint(program).arena, 0);
    assert_int_equal(sl_program_profile(program, NULL, 0), 0);
    sl_accel_unload(program);
    sl_accel_close(accel);
    network_end(&net);
}

static void test_other_versions(void **state)
{
    (void)state;
    struct told told;
    copy(PLUGINS "/version1.so", "1.so", 0, 0755);
    copy(PLUGINS "/future.so", "2.so", 0, 0700);
    told = load();
    if (told.count)
        fail_msg("%s: %s", told.file, told.message);
    assert_runs("version1");
    assert_runs("future");
    told = load(); // a second time: the names are taken
    assert_int_equal(told.count, 2);
    assert_non_null(strstr(told.message, "the name is taken"));
    forget("1.so");
    forget("2.so");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_other_versions),
    };
    if (!mkdtemp(folder) || chmod(folder, 0755) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
