// The daemon's side of the control socket, with an agent made by hand and without cameras: what is
// answered, what ends the connection, and when the line counts as idle.
#include "ota/control.h"
#include "pipeline/update.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static gchar *folder, *path;
static struct sl_update *update;
static struct sl_control_message out, in;
static int agent;
static GMutex lock;
static gchar *told; // last state, under `lock`

static void on_state(void *ctx, const char *json)
{
    (void)ctx;
    g_mutex_lock(&lock);
    g_free(told);
    told = g_strdup(json);
    g_mutex_unlock(&lock);
}

static gboolean was_told(const gchar *json)
{
    g_mutex_lock(&lock);
    const gboolean same = g_strcmp0(told, json) == 0;
    g_mutex_unlock(&lock);
    return same;
}

// The next message, within half a minute; -EPIPE where the daemon hung up.
static int receive(int *fd)
{
    struct pollfd wait = {agent, POLLIN, 0};
    *fd = -1;
    assert_int_equal(poll(&wait, 1, 30000), 1);
    return sl_control_receive(agent, &in, fd, 0);
}

static void expect(enum sl_control_verb verb)
{
    int fd;
    assert_int_equal(receive(&fd), 0);
    assert_int_equal(fd, -1);
    assert_int_equal(in.verb, verb);
}

static void expect_end(void)
{
    int fd, status;
    while ((status = receive(&fd)) == 0)
        ;
    assert_int_equal(status, -EPIPE);
    close(agent);
}

static void connect_agent(void)
{
    agent = sl_control_connect(path);
    assert_true(agent >= 0);
    expect(SL_CONTROL_HELLO);
    assert_string_equal(in.text, "cpu:threads=1");
}

static void say(enum sl_control_verb verb, uint8_t id, uint32_t frames, int fd)
{
    memset(&out, 0, sizeof(out));
    out.version = SL_CONTROL_VERSION;
    out.verb = verb;
    out.frames = frames;
    memset(out.id, id, sizeof(out.id));
    if (fd >= 0) {
        out.n_components = 1;
        out.components[0].length = 16;
        g_strlcpy(out.components[0].name, "model.yaml", sizeof(out.components[0].name));
    }
    assert_int_equal(sl_control_send(agent, &out, fd), 0);
}

static int sealed_memory(void)
{
    const int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0 && ftruncate(fd, 4096) == 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
    return fd;
}

static int set_up(void **unused)
{
    (void)unused;
    g_autoptr(GError) error = NULL;
    folder = g_dir_make_tmp("test-update-XXXXXX", NULL);
    path = g_build_filename(folder, "control.sock", NULL);
    update = sl_update_new(path, NULL, "cpu:threads=1", on_state, NULL, &error);
    return update ? 0 : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    sl_update_free(update);
    assert_int_equal(access(path, F_OK), -1); // the socket goes too
    rmdir(folder);
    g_free(folder);
    g_free(path);
    g_clear_pointer(&told, g_free);
    return 0;
}

static void what_serves_is_remembered_for_the_next_agent(void **unused)
{
    (void)unused;
    const int fd = sealed_memory();
    connect_agent();
    for (size_t i = 0; i < sizeof(in.id); i++)
        assert_int_equal(in.id[i], 0);
    say(SL_CONTROL_SERVE, 7, 0, fd); // no camera, so nothing can fail
    expect(SL_CONTROL_PASSED);
    assert_int_equal(in.id[0], 7);
    close(agent);
    connect_agent();
    assert_int_equal(in.id[0], 7);
    say(SL_CONTROL_SHADOW, 8, 5, fd);
    say(SL_CONTROL_COMMIT, 8, 0, -1);
    say(SL_CONTROL_STATE, 0, 0, -1);
    close(agent);
    while (!was_told("")) // all before it was done
        g_usleep(1000);
    connect_agent();
    assert_int_equal(in.id[0], 8);
    say(SL_CONTROL_SWAP, 9, 5, fd);
    say(SL_CONTROL_SWAP, 9, 5, fd); // again: it is loaded already
    say(SL_CONTROL_ROLL_BACK, 9, 0, -1);
    close(agent);
    close(fd);
}

static void one_agent_at_a_time(void **unused)
{
    (void)unused;
    connect_agent();
    const int first = agent;
    agent = sl_control_connect(path);
    expect_end();
    agent = first;
    say(SL_CONTROL_STATE, 0, 0, -1);
    while (!was_told(""))
        g_usleep(1000);
    close(agent);
}

static void what_no_agent_sends_ends_the_connection(void **unused)
{
    (void)unused;
    static const enum sl_control_verb verbs[] = {
        SL_CONTROL_SELF_TEST, SL_CONTROL_HELLO, SL_CONTROL_PASSED, SL_CONTROL_FAILED,
        SL_CONTROL_BYE,       SL_CONTROL_ASK,   SL_CONTROL_IDLE};
    const int fd = sealed_memory();
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        connect_agent();
        say(verbs[i], 1, 0, i % 2 ? fd : -1);
        expect_end();
    }
    connect_agent();
    assert_int_equal(send(agent, "x", 1, 0), 1);
    expect_end();
    close(fd);
}

static void an_operators_wish_is_passed_on(void **unused)
{
    (void)unused;
    assert_int_equal(sl_update_ask(update, "update"), -ENOTCONN);
    assert_int_equal(sl_update_ask(NULL, "update"), -ENOTCONN);
    connect_agent();
    assert_int_equal(sl_update_ask(update, "rollback"), 0);
    expect(SL_CONTROL_ASK);
    assert_string_equal(in.text, "rollback");
    close(agent);
}

static gboolean keep_busy(gpointer stop)
{
    for (gint64 end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
         g_get_monotonic_time() < end && !g_atomic_int_get((gint *)stop);)
        sl_update_part(update), g_usleep(2000);
    return FALSE;
}

static gpointer line(gpointer stop)
{
    keep_busy(stop);
    return NULL;
}

static void the_line_is_idle_when_no_part_came(void **unused)
{
    (void)unused;
    gint stop = 0;
    connect_agent();
    sl_update_part(NULL);
    sl_update_part(update);
    GThread *parts = g_thread_new("line", line, &stop);
    const gint64 begin = g_get_monotonic_time();
    say(SL_CONTROL_WAIT_IDLE, 0, 3, -1);
    expect(SL_CONTROL_IDLE); // told once, and not while parts came
    assert_true(g_get_monotonic_time() - begin >= 4 * G_USEC_PER_SEC);
    g_thread_join(parts);
    struct pollfd wait = {agent, POLLIN, 0};
    assert_int_equal(poll(&wait, 1, 600), 0);
    say(SL_CONTROL_WAIT_IDLE, 0, 1000, -1);
    say(SL_CONTROL_WAIT_IDLE, 0, 0, -1); // nobody waits any more
    say(SL_CONTROL_WAIT_IDLE, 0, 1, -1);
    expect(SL_CONTROL_IDLE);
    close(agent);
}

static void the_end_is_said(void **unused)
{
    (void)unused;
    connect_agent();
    sl_update_free(update);
    update = NULL;
    expect(SL_CONTROL_BYE);
    expect_end();
}

static void a_socket_that_cannot_be(void **unused)
{
    (void)unused;
    g_autoptr(GError) error = NULL;
    assert_null(sl_update_new("/nowhere/control.sock", NULL, "cpu", on_state, NULL, &error));
    assert_non_null(strstr(error->message, "/nowhere/control.sock"));
    sl_update_attach(NULL, NULL, NULL, NULL);
    sl_update_detach(NULL, NULL);
    sl_update_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_serves_is_remembered_for_the_next_agent, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_agent_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_no_agent_sends_ends_the_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_operators_wish_is_passed_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_line_is_idle_when_no_part_came, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_is_said, set_up, tear_down),
        cmocka_unit_test(a_socket_that_cannot_be)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
