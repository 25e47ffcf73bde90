// Rights, limits and the list of system calls of the child.
#include "accel/isolated/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOBODY 65534

// Memory, threads, time, descriptors that are there already, and what a device's driver is asked by
// (ioctl). Nothing that names a file, an address or a process.
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(lseek),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(fcntl),
    SCMP_SYS(ioctl),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(mmap),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(mprotect),
    SCMP_SYS(madvise),
    SCMP_SYS(mincore),
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(brk),
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(membarrier),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(getcpu),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(tgkill),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(set_tid_address),
};

static int become(const char *name, struct sl_error *error)
{
    uid_t uid = NOBODY;
    gid_t gid = NOBODY;
    if (name && *name) {
        char *end;
        unsigned long number = strtoul(name, &end, 10);
        errno = 0;
        struct passwd *user = *end ? getpwnam(name) : getpwuid((uid_t)number);
        if (!user || user->pw_uid == 0)
            return sl_error_set(error, -EINVAL, "user '%s': expected one that exists and not root",
                                name);
        uid = user->pw_uid;
        gid = user->pw_gid;
        if (initgroups(user->pw_name, gid) < 0)
            return sl_error_set(error, -errno, "groups of '%s': %s", name, strerror(errno));
    } else if (setgroups(0, NULL) < 0) {
        return sl_error_set(error, -errno, "groups: %s", strerror(errno));
    }
    if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return sl_error_set(error, -errno, "user %u: %s", uid, strerror(errno));
    return 0;
}

// Where memory runs out, the child is to go and not the camera, from which it inherits.
static void go_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, "500", 3);
    (void)ignored;
    close(fd);
}

int confine_rights(const char *user, struct sl_error *error)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    go_first();
    if (geteuid() == 0) {
        if (unshare(CLONE_NEWNET) < 0 && errno != EPERM)
            return sl_error_set(error, -errno, "no network: %s", strerror(errno));
        int status = become(user, error);
        if (status)
            return status;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return sl_error_set(error, -errno, "prctl: %s", strerror(errno));
    return 0;
}

// A sanitizer's shadow counts as private memory and is larger than any limit.
static int limit_memory(uint64_t mib, struct sl_error *error)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    (void)mib;
#else
    const struct rlimit limit = {mib << 20, mib << 20};
    if (setrlimit(RLIMIT_DATA, &limit) < 0)
        return sl_error_set(error, -errno, "memory limit: %s", strerror(errno));
#endif
    (void)error;
    return 0;
}

static int add_rules(scmp_filter_ctx filter)
{
    // Threads of this process, by clone; clone3 hides its flags behind a pointer, and the C library
    // falls back where it is not there.
    int status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    for (size_t i = 0; status == 0 && i < sizeof(allowed) / sizeof(*allowed); i++)
        if (allowed[i] >= 0) // not on every machine
            status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    return status;
}

int confine_calls(uint64_t memory_mib, struct sl_error *error)
{
    int status = limit_memory(memory_mib, error);
    if (status)
        return status;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!filter)
        return sl_error_set(error, -ENOMEM, "system calls: no memory");
    status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (status == 0)
        status = add_rules(filter);
    if (status == 0)
        status = seccomp_load(filter);
    seccomp_release(filter);
    return status ? sl_error_set(error, status, "system calls: %s", strerror(-status)) : 0;
}
