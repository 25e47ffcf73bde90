// Back ends in shared objects: every NAME.so of one folder, in the order of their names.
#include "accel/plugins.h"

#include "accel/accel.h"

#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Could somebody else have put it there?
static int check_owner(int fd, mode_t type, struct sl_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return sl_error_set(error, -errno, "%s", strerror(errno));
    if ((info.st_mode & S_IFMT) != type)
        return sl_error_set(error, -EINVAL, "not a %s", type == S_IFDIR ? "folder" : "file");
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return sl_error_set(error, -EPERM, "belongs to user %u, expected root or user %u",
                            (unsigned)info.st_uid, (unsigned)geteuid());
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return sl_error_set(error, -EPERM, "others may write it (mode %03o)",
                            (unsigned)info.st_mode & 0777u);
    return 0;
}

// The loader maps what a file promises; beyond the end of one that was cut, the first access ends
// the process.
static int check_whole(int fd, struct sl_error *error)
{
    ElfW(Ehdr) header;
    ElfW(Phdr) segment;
    struct stat info;
    if (fstat(fd, &info) != 0)
        return sl_error_set(error, -errno, "%s", strerror(errno));
    const uint64_t size = (uint64_t)info.st_size;
    if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof(segment))
        return sl_error_set(error, -EINVAL, "not a shared object for this machine");
    for (unsigned i = 0; i < header.e_phnum; i++) {
        const uint64_t at = header.e_phoff + i * sizeof(segment);
        if (header.e_phoff > size ||
            pread(fd, &segment, sizeof(segment), (off_t)at) != (ssize_t)sizeof(segment) ||
            segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
            return sl_error_set(error, -EINVAL, "cut: its segments go on behind its %llu bytes",
                                (unsigned long long)size);
    }
    return 0;
}

static int take_table(void *library, struct sl_error *error)
{
    sl_backend_entry entry = NULL;
    void *symbol = dlsym(library, SL_BACKEND_SYMBOL);
    if (!symbol)
        return sl_error_set(error, -EINVAL, "no symbol " SL_BACKEND_SYMBOL);
    memcpy(&entry, &symbol, sizeof(entry)); // POSIX: an address of data that may be called
    const struct sl_backend *backend = entry(SL_ACCEL_ABI);
    if (!backend)
        return sl_error_set(error, -ENOTSUP, "does not serve ABI %u", SL_ACCEL_ABI);
    return sl_accel_register(backend, error);
}

static int load_file(int folder, const char *name, struct sl_error *error)
{
    char path[64];
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return sl_error_set(error, -errno, "%s", strerror(errno));
    int status = check_owner(fd, S_IFREG, error);
    if (status == 0)
        status = check_whole(fd, error);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    void *library = status == 0 ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (status == 0 && !library)
        status =
            sl_error_set(error, -EINVAL, "not a shared object for this machine: %s", dlerror());
    if (status == 0)
        status = take_table(library, error);
    if (status == 0)
        return 0; // the loader knows libraries by path: this number must not come again
    if (library)
        dlclose(library);
    close(fd);
    return status;
}

static int is_plugin(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 3 && strcmp(entry->d_name + length - 3, ".so") == 0;
}

int sl_plugins_load(const char *folder, sl_plugin_problem problem, void *ctx,
                    struct sl_error *error)
{
    struct dirent **entries;
    if (*folder != '/')
        return sl_error_set(error, -EINVAL, "plug-ins: '%s' is not an absolute path", folder);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sl_error_set(error, -errno, "plug-ins: %s: %s", folder, strerror(errno));
    int status = check_owner(fd, S_IFDIR, error);
    int count = status == 0 ? scandirat(fd, ".", &entries, is_plugin, alphasort) : 0;
    if (status)
        sl_error_prefix(error, status, "plug-ins: %s", folder);
    else if (count < 0)
        status = sl_error_set(error, -errno, "plug-ins: %s: %s", folder, strerror(errno));
    for (int i = 0; status == 0 && i < count; i++) {
        struct sl_error own = {""};
        if (load_file(fd, entries[i]->d_name, &own) != 0 && problem)
            problem(ctx, entries[i]->d_name, own.message);
        free(entries[i]);
    }
    if (status == 0)
        free(entries);
    close(fd);
    return status;
}
