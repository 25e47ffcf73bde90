// A reader gone bad, for the tests of the agent's side: named by its only argument it breaks the
// protocol, dies, hangs, or tries a system call that the sandbox must end it for.
#include "ota/usb/bytes.h"
#include "ota/usb/protocol.h"
#include "ota/usb/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint8_t body[SL_STICK_LIST_MAX + 64];
static uint8_t head[SL_STICK_REPLY_SIZE];
static uint32_t serial;
static int device;

static void answer(uint32_t status, uint32_t length, uint32_t sent)
{
    const struct sl_stick_reply reply = {serial, status, length};
    sl_stick_put_reply(head, &reply);
    if (write(1, head, sizeof(head)) != sizeof(head) || write(1, body, sent) != (ssize_t)sent)
        _exit(9);
}

// A listing of one file; returns its length.
static uint32_t listing(const char *name, size_t name_length)
{
    memset(body, 0, sizeof(body));
    sl_put32(body, SL_VOLUME_FAT32);
    sl_put32(body + 12, 1);
    sl_put64(body + SL_STICK_LIST_HEAD, 1000000);
    sl_put16(body + SL_STICK_LIST_HEAD + 8, (uint16_t)name_length);
    memcpy(body + SL_STICK_LIST_HEAD + 10, name, name_length);
    return SL_STICK_LIST_HEAD + 10 + (uint32_t)name_length;
}

static void list_name(const char *name)
{
    const uint32_t length = listing(name, strlen(name));
    answer(0, length, length);
}

static void list_changed(size_t at, uint32_t value)
{
    const uint32_t length = listing("a.slb", 5);
    sl_put32(body + at, value);
    answer(0, length, length);
}

// Protocol.
static void wrong_serial(void)
{
    serial++;
    list_name("a.slb");
}
static void wrong_magic(void)
{
    memset(head, 0x55, sizeof(head));
    if (write(1, head, sizeof(head)) < 0)
        _exit(9);
}
static void too_long(void)
{
    answer(0, SL_STICK_LIST_MAX + 1, 0);
}
static void longest(void)
{
    answer(0, UINT32_MAX, 0);
}
static void too_short(void)
{
    answer(0, 3, 3);
}
static void unknown_status(void)
{
    answer(0xFFFFFFF0u, 0, 0);
}
static void long_message(void)
{
    answer(EIO, SL_STICK_ERROR_MAX + 1, 0);
}
static void dirty_message(void)
{
    memcpy(body, "bad\n\x1b[2J\xff\xc3\xa4", 11);
    answer(EIO, 11, 11);
}
static void cut_reply(void)
{
    answer(0, 100, 10);
    _exit(0);
}
static void stalled_reply(void)
{
    answer(0, 100, 10);
    pause();
}
static void unknown_kind(void)
{
    list_changed(0, 9);
}
static void no_kind(void)
{
    list_changed(0, 0);
}
static void strange_mark(void)
{
    list_changed(8, 2);
}
static void too_many_files(void)
{
    list_changed(12, 513);
}
static void missing_file(void)
{
    list_changed(12, 2);
}
static void bytes_after(void)
{
    list_changed(12, 0);
}
static void name_overrun(void)
{
    const uint32_t length = listing("a.slb", 5);
    sl_put16(body + SL_STICK_LIST_HEAD + 8, 700);
    answer(0, length, length);
}
static void name_path(void)
{
    list_name("../../etc/a.slb");
}
static void name_control(void)
{
    list_name("a\n.slb");
}
static void name_zero(void)
{
    const uint32_t length = listing("a\0b.slb", 7);
    answer(0, length, length);
}
static void name_not_utf8(void)
{
    list_name("a\xff.slb");
}
static void name_overlong(void)
{
    list_name("a\xc0\xaf.slb");
}
static void name_other(void)
{
    list_name("a.exe");
}
static void name_empty(void)
{
    list_name("");
}

// Death.
static void dies(void)
{
    _exit(7);
}
static void crashes(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}
static void hangs(void)
{
    for (;;)
        pause();
}
static void spins(void)
{
    static volatile int turn;
    for (;;)
        turn = !turn;
}

// What the sandbox must forbid. Where a call comes back, the answer is a listing, and the test
// sees.
static void enter(void)
{
    struct sl_volume_error error;
    if (sl_stick_sandbox(device, 0, 1, "sightline-stick", &error) != 0)
        _exit(8);
}
static void calls_open(void)
{
    enter();
    syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY);
    list_name("a.slb");
}
static void calls_socket(void)
{
    enter();
    syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    list_name("a.slb");
}
static void calls_fork(void)
{
    enter();
    syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    list_name("a.slb");
}
static void calls_execve(void)
{
    enter();
    syscall(SYS_execve, "/bin/true", NULL, NULL);
    list_name("a.slb");
}
static void calls_mmap(void)
{
    enter();
    syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    list_name("a.slb");
}
static void calls_kill(void)
{
    enter();
    syscall(SYS_kill, getppid(), 0);
    list_name("a.slb");
}
static void calls_ptrace(void)
{
    enter();
    syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    list_name("a.slb");
}
static void calls_ioctl(void)
{
    enter();
    syscall(SYS_ioctl, device, 0x1268, body);
    list_name("a.slb");
}
static void writes_device(void)
{
    enter();
    syscall(SYS_pwrite64, device, body, 1, 0);
    list_name("a.slb");
}
static void writes_elsewhere(void)
{
    enter();
    syscall(SYS_write, device, body, 1);
    list_name("a.slb");
}
static void reads_elsewhere(void)
{
    enter();
    syscall(SYS_read, 1, body, 1);
    list_name("a.slb");
}
static void stays_within(void)
{
    enter();
    if (pread(device, body, 4, 0) == 4)
        list_name("a.slb");
}

#define ROW(name)                                                                                  \
    {                                                                                              \
#name, name                                                                                \
    }
static const struct {
    const char *name;
    void (*act)(void);
} rows[] = {
    ROW(wrong_serial),  ROW(wrong_magic),      ROW(too_long),        ROW(longest),
    ROW(too_short),     ROW(unknown_status),   ROW(long_message),    ROW(dirty_message),
    ROW(cut_reply),     ROW(stalled_reply),    ROW(unknown_kind),    ROW(no_kind),
    ROW(strange_mark),  ROW(too_many_files),   ROW(missing_file),    ROW(bytes_after),
    ROW(name_overrun),  ROW(name_path),        ROW(name_control),    ROW(name_zero),
    ROW(name_not_utf8), ROW(name_overlong),    ROW(name_other),      ROW(name_empty),
    ROW(dies),          ROW(crashes),          ROW(hangs),           ROW(spins),
    ROW(calls_open),    ROW(calls_socket),     ROW(calls_fork),      ROW(calls_execve),
    ROW(calls_mmap),    ROW(calls_kill),       ROW(calls_ptrace),    ROW(calls_ioctl),
    ROW(writes_device), ROW(writes_elsewhere), ROW(reads_elsewhere), ROW(stays_within),
};

int main(int argc, char **argv)
{
    uint8_t bytes[SL_STICK_REQUEST_SIZE];
    struct sl_stick_request request;
    device = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (argc != 2 || read(0, bytes, sizeof(bytes)) != sizeof(bytes) ||
        !sl_stick_get_request(bytes, &request))
        return 2;
    serial = request.serial;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!strcmp(rows[i].name, argv[1]))
            rows[i].act();
    _exit(read(0, bytes, 1) == 0 ? 0 : 3); // until the other side closes
}
