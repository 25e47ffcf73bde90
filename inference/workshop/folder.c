// A folder that appears whole or not at all.
#include "inference/workshop/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A signal while a folder is written waits until nothing half done is left.
static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXFSZ};
enum { N_SIGNALS = sizeof(signals) / sizeof(*signals) };
static volatile sig_atomic_t interrupted;

struct folder {
    char *path, *partial; // the final name, and the one until then
    int fd;
    bool done;
    struct sigaction old[N_SIGNALS];
};

static void interrupt(int number)
{
    if (number != SIGXFSZ) // write() says that the file would become too large
        interrupted = number;
}

static void hold_signals(struct folder *f)
{
    struct sigaction hold = {.sa_handler = interrupt};
    interrupted = 0;
    sigemptyset(&hold.sa_mask);
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], NULL, &f->old[i]);
        if (f->old[i].sa_handler != SIG_IGN)
            sigaction(signals[i], &hold, NULL);
    }
}

static void release_signals(const struct folder *f)
{
    const int number = interrupted;
    for (int i = 0; i < N_SIGNALS; i++)
        sigaction(signals[i], &f->old[i], NULL);
    if (number)
        raise(number);
}

// The folder in which `path` lies or will lie.
static char *parent_of(const char *path)
{
    char *parent = strdup(path);
    size_t length = parent ? strlen(parent) : 0;
    while (length > 1 && parent[length - 1] == '/')
        parent[--length] = '\0';
    char *slash = parent ? strrchr(parent, '/') : NULL;
    if (!slash) {
        free(parent);
        return strdup(".");
    }
    slash[slash == parent] = '\0';
    return parent;
}

int folder_check(const char *path, struct sl_error *error)
{
    struct stat info;
    if (lstat(path, &info) == 0)
        return sl_error_set(error, -EEXIST, "%s: it is there already; name a new folder", path);
    if (!*path)
        return sl_error_set(error, -EINVAL,
                            "expected the name of a new folder, found an empty one");
    char *parent = parent_of(path);
    int status = parent ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0 && access(parent, W_OK | X_OK) != 0)
        status = sl_error_set(error, -errno, "%s: cannot be made in '%s': %s", path, parent,
                              strerror(errno));
    free(parent);
    return status;
}

int folder_begin(const char *path, struct folder **out, struct sl_error *error)
{
    int status = folder_check(path, error);
    if (status < 0)
        return status;
    struct folder *f = calloc(1, sizeof(*f));
    if (!f)
        return sl_error_set(error, -ENOMEM, "out of memory");
    f->fd = -1;
    hold_signals(f);
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    f->path = strndup(path, length);
    if (!f->path || asprintf(&f->partial, "%s.partial-XXXXXX", f->path) < 0) {
        f->partial = NULL;
        folder_end(f);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    if (!mkdtemp(f->partial) || chmod(f->partial, 0755) != 0 ||
        (f->fd = open(f->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        status = sl_error_set(error, -errno, "%s: %s", f->partial, strerror(errno));
        folder_end(f);
        return status;
    }
    *out = f;
    return 0;
}

static int make_parents(struct folder *f, const char *name)
{
    char part[512];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        const size_t length = (size_t)(slash - name);
        if (length >= sizeof(part))
            return -ENAMETOOLONG;
        memcpy(part, name, length);
        part[length] = '\0';
        if (mkdirat(f->fd, part, 0755) != 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        size -= (size_t)n;
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

int folder_add(struct folder *f, const char *name, const void *bytes, size_t size,
               struct sl_error *error)
{
    int status = make_parents(f, name);
    const int fd = status < 0 ? -1
                              : openat(f->fd, name,
                                       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (status == 0 && fd < 0)
        status = -errno;
    if (status == -EEXIST)
        return 0;
    if (status == 0)
        status = write_all(fd, bytes, size);
    if (fd >= 0 && close(fd) != 0 && status == 0)
        status = -errno;
    if (status < 0)
        return sl_error_set(error, status, "%s/%s: %s", f->path, name, strerror(-status));
    return 0;
}

static int sync_parent(const char *path)
{
    char *parent = parent_of(path);
    if (!parent)
        return -ENOMEM;
    const int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd < 0 || fsync(fd) != 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    free(parent);
    return status;
}

// Not every file system knows RENAME_NOREPLACE (NFS: EINVAL).
static int rename_new(const char *from, const char *to)
{
    struct stat info;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (lstat(to, &info) == 0)
        return -EEXIST;
    return rename(from, to) == 0 ? 0 : -errno;
}

int folder_commit(struct folder *f, struct sl_error *error)
{
    int status = fsync(f->fd) == 0 ? 0 : -errno;
    if (status == 0 && interrupted)
        status = -EINTR;
    if (status == 0)
        status = rename_new(f->partial, f->path);
    f->done = status == 0;
    if (status == 0)
        status = sync_parent(f->path);
    return status < 0 ? sl_error_set(error, status, "%s: %s", f->path, strerror(-status)) : 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void folder_end(struct folder *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    if (f->partial && !f->done)
        nftw(f->partial, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    release_signals(f);
    free(f->path);
    free(f->partial);
    free(f);
}
