// User, capabilities, limits, descriptors and system calls of the stick reader.
#include "ota/usb/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MEMORY_BYTES (64u << 20)
#define CPU_SECONDS  600u // a stick of 2 GiB needs a few; a loop that never ends is cut

static int failed(struct sl_volume_error *error, const char *step, int code)
{
    snprintf(error->text, sizeof(error->text), "sandbox: %s: %s", step, strerror(code));
    return -code;
}

static int drop_bounding_set(struct sl_volume_error *error)
{
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EPERM)
            return failed(error, "capability bounding set", errno);
    return 0;
}

static int drop_capabilities(struct sl_volume_error *error)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    const struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};
    struct __user_cap_data_struct has[2];
    // Where the service manager has taken them already, it may have taken this call, too.
    if (syscall(SYS_capget, &head, has) == 0 && memcmp(has, none, sizeof(none)) == 0)
        return 0;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, none) != 0)
        return failed(error, "capabilities", errno);
    return 0;
}

static int change_user(const char *name, struct sl_volume_error *error)
{
    uid_t uid = 65534;
    gid_t gid = 65534;
    if (geteuid() != 0 && getuid() != 0)
        return 0;
    const struct passwd *entry = getpwnam(name);
    if (!entry)
        entry = getpwnam("nobody");
    if (entry) {
        uid = entry->pw_uid;
        gid = entry->pw_gid;
    }
    if (uid == 0 || gid == 0)
        return failed(error, "the reader's own user", EPERM);
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
        return failed(error, "becoming the reader's user", errno);
    return setuid(0) == 0 ? failed(error, "root is still within reach", EPERM) : 0;
}

static int set_limits(struct sl_volume_error *error)
{
    static const struct {
        int what;
        rlim_t value;
    } rows[] = {
        {RLIMIT_CORE, 0},          {RLIMIT_FSIZE, 0},       {RLIMIT_MEMLOCK, 0},
        {RLIMIT_MSGQUEUE, 0},      {RLIMIT_NPROC, 0},       {RLIMIT_NOFILE, 0},
        {RLIMIT_CPU, CPU_SECONDS}, {RLIMIT_STACK, 1 << 20}, {RLIMIT_AS, MEMORY_BYTES},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct rlimit limit = {rows[i].value, rows[i].value};
        if (rows[i].what == RLIMIT_AS && SANITIZED) // their shadow memory is larger
            continue;
        if (setrlimit((__rlimit_resource_t)rows[i].what, &limit) != 0)
            return failed(error, "resource limits", errno);
    }
    return 0;
}

static int close_others(const int keep[3], struct sl_volume_error *error)
{
    int low = 0;
    for (;;) {
        int next = -1; // the lowest kept one that is not below `low`
        for (int i = 0; i < 3; i++)
            if (keep[i] >= low && (next < 0 || keep[i] < next))
                next = keep[i];
        if (next < 0)
            break;
        if (next > low && close_range((unsigned)low, (unsigned)next - 1, 0) != 0)
            return failed(error, "closing descriptors", errno);
        low = next + 1;
    }
    return close_range((unsigned)low, ~0u, 0) != 0 ? failed(error, "closing descriptors", errno)
                                                   : 0;
}

static int allow(scmp_filter_ctx filter, int call, int fd)
{
    return seccomp_rule_add_exact(filter, SCMP_ACT_ALLOW, call, 1,
                                  SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)fd, 0));
}

static int filter_calls(int device, int in, int out, struct sl_volume_error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return failed(error, "system call filter", ENOMEM);
    int status = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (status == 0)
        status = allow(filter, SCMP_SYS(pread64), device);
    if (status == 0)
        status = allow(filter, SCMP_SYS(read), in);
    if (status == 0)
        status = allow(filter, SCMP_SYS(write), out);
    if (status == 0)
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(exit_group), 0);
    if (status == 0) // a stopped read that is continued
        status = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(restart_syscall), 0);
    if (status == 0)
        status = seccomp_load(filter); // sets no_new_privs, too
    seccomp_release(filter);
    return status == 0 ? 0 : failed(error, "system call filter", -status);
}

// Limits come after the change of user, because a limit of processes would make that one fail; the
// filter comes last.
int sl_stick_sandbox(int device, int in, int out, const char *user, struct sl_volume_error *error)
{
    const int keep[3] = {device, in, out};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed(error, "no_new_privs", errno);
    int status = drop_bounding_set(error);
    if (status == 0)
        status = change_user(user, error);
    if (status == 0)
        status = drop_capabilities(error);
    if (status == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        status = failed(error, "dumpable", errno);
    if (status == 0)
        status = close_others(keep, error);
    if (status == 0)
        status = set_limits(error);
    return status != 0 ? status : filter_calls(device, in, out, error);
}
