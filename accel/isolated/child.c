// Starting, asking, ending the child.
#include "accel/isolated/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_NS 20000000

extern char **environ;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int spawn(pid_t *pid, const struct iso_child_options *options, int socket)
{
    char program[] = "sightline-accel-host", user[64], memory[16];
    char *arguments[] = {program, user, memory, NULL};
    snprintf(user, sizeof(user), "%s", options->user);
    snprintf(memory, sizeof(memory), "%u", options->memory_mib);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, standard;
    sigemptyset(&none);
    sigfillset(&standard);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &standard);
    posix_spawnattr_setpgroup(&attributes, 0); // Ctrl-C at a terminal is for the parent
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    int status = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", 0, 0);
    if (status == 0)
        status = posix_spawn_file_actions_adddup2(&files, socket, ISO_SOCKET);
    if (status == 0)
        status = posix_spawn_file_actions_addclosefrom_np(&files, ISO_SOCKET + 1);
    if (status == 0)
        status = posix_spawn(pid, options->program, &files, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return -status;
}

int child_start(struct iso_child *child, const struct iso_child_options *options,
                struct sl_error *error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return sl_error_set(error, -errno, "child: socket: %s", strerror(errno));
    // Not the child's number, or dup2 would leave it to be closed on exec.
    int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, ISO_SOCKET + 1);
    int status = theirs < 0 ? -errno : spawn(&child->pid, options, theirs);
    close(pair[1]);
    if (theirs >= 0)
        close(theirs);
    if (status) {
        close(pair[0]);
        return sl_error_set(error, status, "child '%s': %s", options->program, strerror(-status));
    }
    child->socket = pair[0];
    child->number = 0;
    child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
    if (child->pidfd < 0) {
        status = sl_error_set(error, -errno, "child: pidfd: %s", strerror(errno));
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
        close(pair[0]);
    }
    return status;
}

// Until the socket has something to say, or the child has ended, or the deadline.
static int await(const struct iso_child *child, int64_t deadline_ns)
{
    struct pollfd fds[2] = {{child->socket, POLLIN, 0}, {child->pidfd, POLLIN, 0}};
    for (;;) {
        int64_t left = deadline_ns == INT64_MAX ? 0 : deadline_ns - now_ns();
        left = left < 0 ? 0 : left;
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        int ready = ppoll(fds, 2, deadline_ns == INT64_MAX ? NULL : &timeout, NULL);
        if (ready > 0)
            return 0;
        if (ready == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int check_answer(struct iso_child *child, const struct iso_message *question,
                        struct iso_message *answer, struct sl_error *error)
{
    if (answer->kind != question->kind || answer->number != child->number || answer->status > 0)
        return sl_error_set(error, -EIO, "child: expected an answer of kind %u, found kind %u",
                            question->kind, answer->kind);
    for (char *c = answer->text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return 0;
}

int child_ask(struct iso_child *child, struct iso_message *message, int fd, int64_t deadline_ns,
              struct sl_error *error)
{
    struct iso_message answer;
    int unexpected;
    message->number = ++child->number;
    int status = iso_send(child->socket, message, fd);
    while (status == 0 &&
           (status = iso_receive(child->socket, &answer, &unexpected, MSG_DONTWAIT)) == -EAGAIN) {
        status = await(child, deadline_ns);
        if (status == -ETIMEDOUT)
            return sl_error_set(error, status, "child: no answer in time");
        struct pollfd socket = {child->socket, POLLIN, 0};
        if (status == 0 && poll(&socket, 1, 0) == 0)
            status = -ENOTCONN;
    }
    if (status) {
        char fate[64];
        child_ended(child, now_ns() + END_NS); // its own end comes just behind its socket's
        child_kill(child);
        child_fate(child, fate, sizeof(fate));
        return sl_error_set(error, -EIO, "child: %s", fate);
    }
    if (unexpected >= 0)
        close(unexpected);
    status = check_answer(child, message, &answer, error);
    if (status == 0)
        memcpy(message, &answer, sizeof(answer));
    return status;
}

void child_kill(const struct iso_child *child)
{
    syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
}

bool child_ended(const struct iso_child *child, int64_t deadline_ns)
{
    struct pollfd fd = {child->pidfd, POLLIN, 0};
    for (;;) {
        int64_t left = deadline_ns - now_ns();
        left = left < 0 ? 0 : left;
        struct timespec timeout = {left / 1000000000, left % 1000000000};
        int ready = ppoll(&fd, 1, &timeout, NULL);
        if (ready >= 0)
            return ready > 0;
        if (errno != EINTR)
            return false;
    }
}

void child_fate(const struct iso_child *child, char *text, size_t size)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
        snprintf(text, size, "does not talk any more");
    else if (info.si_code == CLD_EXITED)
        snprintf(text, size, "ended with status %d", info.si_status);
    else
        snprintf(text, size, "ended by signal %d", info.si_status);
}

void child_forget(struct iso_child *child)
{
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(child->pidfd);
    close(child->socket);
    child->pid = 0;
}
