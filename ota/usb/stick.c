// sightline-stick: reads the update files of one stick in a sandbox, for the update agent.
#include "ota/usb/sandbox.h"
#include "ota/usb/serve.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { KEY_CONNECT = 256, KEY_FD, KEY_USER };

struct options {
    const char *device, *connect, *user;
    int fd;
};

static const struct argp_option rows[] = {
    {"connect", KEY_CONNECT, "SOCKET", 0, "Serve on this socket; default: stdin and stdout", 0},
    {"fd", KEY_FD, "N", 0, "The device is open already, as descriptor N", 0},
    {"user", KEY_USER, "NAME", 0, "Whom root becomes (default: sightline-stick)", 0},
    {0},
};

static void set_fd(struct options *o, const char *text, struct argp_state *state)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno || *end || end == text || value < 3 || value > 1 << 20)
        argp_error(state, "--fd: expected a descriptor of 3 or more, found '%s'", text);
    o->fd = (int)value;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_CONNECT:
        o->connect = text;
        return 0;
    case KEY_FD:
        set_fd(o, text, state);
        return 0;
    case KEY_USER:
        o->user = text;
        return 0;
    case ARGP_KEY_ARG:
        if (o->device)
            argp_error(state, "unexpected argument '%s'", text);
        o->device = text;
        return 0;
    case ARGP_KEY_END:
        if ((o->device != NULL) == (o->fd >= 0))
            argp_error(state, "name the device, or give --fd");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "sightline-stick: %s: %s\n", what, why);
    return -1;
}

// A block device or a file, read-only, and its length.
static int open_device(const struct options *o, uint64_t *length)
{
    const char *name = o->device ? o->device : "--fd";
    const int fd =
        o->device ? open(o->device, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : o->fd;
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0)
        return fail(name, strerror(errno));
    if (!S_ISBLK(info.st_mode) && !S_ISREG(info.st_mode))
        return fail(name, "expected a block device or a file");
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
        return fail(name, "expected a descriptor open for reading only");
    const off_t end = lseek(fd, 0, SEEK_END);
    if (end <= 0)
        return fail(name, end < 0 ? strerror(errno) : "it has no length; is there a medium?");
    *length = (uint64_t)end;
    return fd;
}

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return fail(path, "the name of a socket is shorter than 108 bytes");
    strcpy(address.sun_path, path);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        return fail(path, strerror(errno));
    return fd;
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Reads the update files in /SIGHTLINE of a stick (FAT16, FAT32, exFAT) without mounting "
        "it, and serves them to the update agent. Nothing is written to the stick."
        "\vExit status: 0 the agent closed, 1 failed, 2 usage.";
    const struct argp argp = {rows, parse, "[DEVICE]", doc, NULL, NULL, NULL};
    struct options o = {.user = "sightline-stick", .fd = -1};
    struct sl_volume_error error;
    uint64_t length = 0;
    int in = STDIN_FILENO, out = STDOUT_FILENO;
    argp_program_version = "sightline-stick " SIGHTLINE_VERSION;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    signal(SIGPIPE, SIG_IGN);
    const int device = open_device(&o, &length);
    if (device < 0)
        return 1;
    if (o.connect && (in = out = open_socket(o.connect)) < 0)
        return 1;
    if (sl_stick_sandbox(device, in, out, o.user, &error) != 0) {
        // Standard error may be closed by now; the exit status remains.
        fprintf(stderr, "sightline-stick: %s\n", error.text);
        return 1;
    }
    // Straight to the kernel: whatever else runs at an exit is not allowed any more.
    for (int status = sl_stick_serve(device, length, in, out) == 0 ? 0 : 1;;)
        syscall(SYS_exit_group, status);
}
