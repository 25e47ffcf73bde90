// What the child can no longer do once it is confined. Each check runs in a process of its own.
#include "accel/isolated/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// The status that `check` ends with in a confined process.
static int confined(int (*check)(void))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sl_error error;
        if (confine_rights("", &error) < 0 || confine_calls(512, &error) < 0)
            _exit(100);
        _exit(check());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int refused(long result)
{
    return result < 0 && errno == EPERM ? 0 : 1;
}

static int opens_files(void)
{
    return refused(open("/etc/passwd", O_RDONLY)) ||
           refused(open("/tmp/x", O_CREAT | O_RDWR, 0600));
}

static int opens_sockets(void)
{
    int pair[2];
    return refused(socket(AF_INET, SOCK_STREAM, 0)) || refused(socket(AF_UNIX, SOCK_STREAM, 0)) ||
           refused(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
}

static int starts_programs(void)
{
    char name[] = "/bin/true";
    char *arguments[] = {name, NULL};
    return refused(execv(name, arguments)) || refused(fork());
}

static int reaches_processes(void)
{
    return refused(kill(getppid(), 0)) || refused(ptrace(PTRACE_ATTACH, 1, NULL, NULL));
}

static int removes_files(void)
{
    return refused(unlink("/tmp/none")) || refused(rename("/tmp/a", "/tmp/b")) ||
           refused(mkdir("/tmp/none", 0700));
}

static void *try_open(void *result)
{
    *(int *)result = open("/etc/passwd", O_RDONLY) < 0 && errno == EPERM ? 0 : 1;
    return NULL;
}

static int threads_are_confined_too(void)
{
    pthread_t thread;
    int result = 2;
    if (pthread_create(&thread, NULL, try_open, &result) != 0)
        return 3;
    pthread_join(thread, NULL);
    return result;
}

static int takes_memory(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#else
    void *some = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *more =
        mmap(NULL, (size_t)1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return some != MAP_FAILED && more == MAP_FAILED && errno == ENOMEM ? 0 : 1;
#endif
}

static int has_a_user(void)
{
    return getuid() != 0 && geteuid() != 0 && setuid(0) < 0 ? 0 : 1;
}

static void test_confined(void **state)
{
    (void)state;
    assert_int_equal(confined(opens_files), 0);
    assert_int_equal(confined(opens_sockets), 0);
    assert_int_equal(confined(starts_programs), 0);
    assert_int_equal(confined(reaches_processes), 0);
    assert_int_equal(confined(removes_files), 0);
    assert_int_equal(confined(threads_are_confined_too), 0);
    assert_int_equal(confined(takes_memory), 0);
    assert_int_equal(confined(has_a_user), 0);
}

static void test_users(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    static const char *const bad[] = {"nobody-of-that-name", "0", "root", "123456789"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        pid_t pid = fork();
        struct sl_error error;
        if (pid == 0)
            _exit(confine_rights(bad[i], &error) == -EINVAL ? 0 : 1);
        int status = 1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_confined),
                                       cmocka_unit_test(test_users)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
