// The agent's side of the stick protocol: one request, one checked reply, one deadline.
#include "ota/usb/client.h"

#include "ota/usb/client_listing.h"
#include "ota/usb/protocol.h"
#include "ota/usb/volume_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLOSE_MS = 500, PRINT_BYTES = crypto_shorthash_BYTES };
#define PRINTS_MAX (1u << 17) // pieces whose fingerprints are kept; of 256 KiB each

// What the pieces of one file were when they were first read; all zero: not read yet.
struct prints {
    uint8_t (*piece)[PRINT_BYTES];
    uint32_t count;
};

struct sl_stick {
    int fd, timeout_ms;
    pid_t pid; // 0: adopted, or reaped
    uint32_t serial;
    int broken; // the negative errno of `reason`; 0: in order
    struct sl_volume_error reason;
    struct sl_stick_listing *listing;
    struct prints prints[SL_VOLUME_ENTRIES];
    uint32_t prints_held;
    uint8_t key[crypto_shorthash_KEYBYTES];
    uint8_t body[SL_STICK_LIST_MAX];
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

// The end of a spawned reader, in words, if it comes within `wait_ms`.
static void describe_end(struct sl_stick *stick, int wait_ms, char *out, size_t size)
{
    int how = 0;
    snprintf(out, size, "it closed the connection");
    if (stick->pid == 0)
        return;
    const int handle = (int)syscall(SYS_pidfd_open, stick->pid, 0);
    struct pollfd wait = {handle, POLLIN, 0};
    if (handle >= 0) {
        poll(&wait, 1, wait_ms);
        close(handle);
    }
    if (waitpid(stick->pid, &how, WNOHANG) != stick->pid)
        return;
    stick->pid = 0;
    if (WIFSIGNALED(how))
        snprintf(out, size, "it was ended by signal %d (%s)", WTERMSIG(how),
                 sigdescr_np(WTERMSIG(how)));
    else
        snprintf(out, size, "it ended with status %d", WEXITSTATUS(how));
}

static int tell(const struct sl_stick *stick, struct sl_volume_error *error)
{
    if (error)
        *error = stick->reason;
    return stick->broken;
}

// The connection is over.
__attribute__((format(printf, 4, 5))) static int
give_up(struct sl_stick *stick, int status, struct sl_volume_error *error, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(stick->reason.text, sizeof(stick->reason.text), "stick reader: %s", text);
    stick->broken = status;
    if (stick->fd >= 0)
        close(stick->fd);
    stick->fd = -1;
    return tell(stick, error);
}

static int gone(struct sl_stick *stick, struct sl_volume_error *error)
{
    char how[128];
    describe_end(stick, CLOSE_MS, how, sizeof(how));
    return give_up(stick, -EPIPE, error, "%s", how);
}

// Moves all bytes one way by `deadline`.
static int transfer(struct sl_stick *stick, bool send_them, uint8_t *bytes, size_t length,
                    int64_t deadline, struct sl_volume_error *error)
{
    for (size_t done = 0; done < length;) {
        const ssize_t moved =
            send_them ? send(stick->fd, bytes + done, length - done, MSG_NOSIGNAL | MSG_DONTWAIT)
                      : recv(stick->fd, bytes + done, length - done, MSG_DONTWAIT);
        if (moved > 0) {
            done += (size_t)moved;
            continue;
        }
        if (moved == 0 || (errno != EAGAIN && errno != EINTR))
            return gone(stick, error);
        const int64_t left = deadline - now_ms();
        struct pollfd wait = {stick->fd, send_them ? POLLOUT : POLLIN, 0};
        if (left <= 0)
            return give_up(stick, -ETIMEDOUT, error, "no answer within %d ms", stick->timeout_ms);
        poll(&wait, 1, (int)left);
    }
    return 0;
}

// What a reader may say went wrong.
static int known_status(uint32_t status)
{
    static const int known[] = {EIO, EBADMSG, ENOTSUP, ENOENT, EINVAL, EFBIG};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (status == (uint32_t)known[i])
            return -known[i];
    return 0;
}

static int reported(struct sl_stick *stick, const struct sl_stick_reply *reply, int64_t deadline,
                    struct sl_volume_error *error)
{
    char text[SL_STICK_ERROR_MAX + 1] = "";
    const int status = known_status(reply->status);
    if (status == 0)
        return give_up(stick, -EPROTO, error, "reply: unknown status %u", reply->status);
    if (reply->length > SL_STICK_ERROR_MAX)
        return give_up(stick, -EPROTO, error, "reply: message of %u bytes", reply->length);
    const int moved = transfer(stick, false, (uint8_t *)text, reply->length, deadline, error);
    if (moved != 0)
        return moved;
    sl_name_clean(text, reply->length);
    if (error)
        snprintf(error->text, sizeof(error->text), "%s", text);
    return status;
}

// Sends a request; the body of at most `room` bytes comes into stick->body.
static int ask(struct sl_stick *stick, struct sl_stick_request *request, uint32_t least,
               uint32_t room, uint32_t *length, struct sl_volume_error *error)
{
    uint8_t head[SL_STICK_REQUEST_SIZE];
    struct sl_stick_reply reply;
    const int64_t deadline = now_ms() + stick->timeout_ms;
    if (stick->broken)
        return tell(stick, error);
    request->serial = ++stick->serial;
    sl_stick_put_request(head, request);
    int status = transfer(stick, true, head, sizeof(head), deadline, error);
    if (status == 0)
        status = transfer(stick, false, head, SL_STICK_REPLY_SIZE, deadline, error);
    if (status != 0)
        return status;
    if (!sl_stick_get_reply(head, &reply) || reply.serial != request->serial)
        return give_up(stick, -EPROTO, error, "reply: not to this request");
    if (reply.status != 0)
        return reported(stick, &reply, deadline, error);
    if (reply.length < least || reply.length > room)
        return give_up(stick, -EPROTO, error, "reply: expected %u to %u bytes, found %u", least,
                       room, reply.length);
    *length = reply.length;
    return transfer(stick, false, stick->body, reply.length, deadline, error);
}

static void forget_prints(struct sl_stick *stick)
{
    for (uint32_t i = 0; i < SL_VOLUME_ENTRIES; i++) {
        free(stick->prints[i].piece);
        stick->prints[i] = (struct prints){0};
    }
    stick->prints_held = 0;
}

static bool same_listing(const struct sl_stick_listing *a, const struct sl_stick_listing *b)
{
    if (a->kind != b->kind || a->partition != b->partition || a->count != b->count ||
        a->device_length != b->device_length)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (a->files[i].length != b->files[i].length || strcmp(a->files[i].name, b->files[i].name))
            return false;
    return true;
}

int sl_stick_list(struct sl_stick *stick, const struct sl_stick_listing **out,
                  struct sl_volume_error *error)
{
    struct sl_stick_request request = {.verb = SL_STICK_LIST};
    struct sl_stick_listing *listing;
    uint32_t length = 0;
    int status = ask(stick, &request, SL_STICK_LIST_HEAD, SL_STICK_LIST_MAX, &length, error);
    if (status != 0)
        return status;
    status = sl_stick_parse_listing(stick->body, length, &listing, &stick->reason);
    if (status == -EPROTO) {
        const struct sl_volume_error why = stick->reason;
        give_up(stick, status, NULL, "listing");
        stick->reason = why;
        return tell(stick, error);
    }
    if (status != 0)
        return status;
    if (!stick->listing) {
        stick->listing = listing;
    } else {
        const bool same = same_listing(stick->listing, listing);
        free(listing);
        if (!same)
            return give_up(stick, -ESTALE, error, "the stick's files changed while it was read");
    }
    *out = stick->listing;
    return 0;
}

// The fingerprints of a file, made at its first read; NULL where there is no memory for them.
static struct prints *prints_of(struct sl_stick *stick, uint32_t index)
{
    struct prints *prints = &stick->prints[index];
    const uint64_t length = stick->listing->files[index].length;
    const uint64_t count = length / SL_STICK_PIECE + (length % SL_STICK_PIECE != 0);
    if (prints->piece || count == 0 || count > PRINTS_MAX)
        return prints->piece ? prints : NULL;
    if (count > PRINTS_MAX - stick->prints_held)
        forget_prints(stick);
    prints->piece = calloc((size_t)count, PRINT_BYTES);
    if (!prints->piece)
        return NULL;
    prints->count = (uint32_t)count;
    stick->prints_held += prints->count;
    return prints;
}

// A whole piece is compared with what it was before. The key is ours, so that no stick can prepare
// two pieces with one fingerprint.
static int compare(struct sl_stick *stick, uint32_t index, uint64_t at, uint32_t length,
                   struct sl_volume_error *error)
{
    static const uint8_t none[PRINT_BYTES];
    uint8_t print[PRINT_BYTES];
    struct prints *prints = prints_of(stick, index);
    if (!prints)
        return -ENOMEM;
    uint8_t *known = prints->piece[at / SL_STICK_PIECE];
    crypto_shorthash(print, stick->body, length, stick->key);
    if (memcmp(print, none, PRINT_BYTES) == 0)
        print[0] = 1;
    if (memcmp(known, none, PRINT_BYTES) != 0 && memcmp(known, print, PRINT_BYTES) != 0)
        return give_up(stick, -ESTALE, error,
                       "'%.200s': the bytes from %llu changed while the stick was read",
                       stick->listing->files[index].name, (unsigned long long)at);
    memcpy(known, print, PRINT_BYTES);
    return 0;
}

// Whole pieces are asked for, so that each can be compared.
static int read_piece(struct sl_stick *stick, uint32_t index, uint64_t at,
                      struct sl_volume_error *error)
{
    const uint64_t left = stick->listing->files[index].length - at;
    struct sl_stick_request request = {
        .verb = SL_STICK_READ,
        .index = index,
        .offset = at,
        .length = left < SL_STICK_PIECE ? (uint32_t)left : SL_STICK_PIECE,
    };
    uint32_t length;
    const int status = ask(stick, &request, request.length, request.length, &length, error);
    return status != 0 ? status : compare(stick, index, at, length, error);
}

int sl_stick_read(struct sl_stick *stick, uint32_t index, uint64_t offset, void *bytes,
                  size_t length, struct sl_volume_error *error)
{
    const struct sl_stick_listing *listing = stick->listing;
    uint8_t *out = bytes;
    if (stick->broken)
        return tell(stick, error);
    if (!listing || index >= listing->count || offset > listing->files[index].length ||
        length > listing->files[index].length - offset) {
        if (error)
            snprintf(error->text, sizeof(error->text), "stick: no %zu bytes at %llu of file %u",
                     length, (unsigned long long)offset, index);
        return -EINVAL;
    }
    while (length > 0) {
        const size_t within = (size_t)(offset % SL_STICK_PIECE);
        const size_t now = length < SL_STICK_PIECE - within ? length : SL_STICK_PIECE - within;
        const int status = read_piece(stick, index, offset - within, error);
        if (status != 0)
            return status;
        memcpy(out, stick->body + within, now);
        out += now;
        offset += now;
        length -= now;
    }
    return 0;
}

int sl_stick_adopt(int fd, int timeout_ms, struct sl_stick **out, struct sl_volume_error *error)
{
    struct sl_stick *stick = sodium_init() < 0 ? NULL : calloc(1, sizeof(*stick));
    if (!stick) {
        close(fd);
        if (error)
            snprintf(error->text, sizeof(error->text), "stick reader: no memory");
        return -ENOMEM;
    }
    stick->fd = fd;
    stick->timeout_ms = timeout_ms;
    crypto_shorthash_keygen(stick->key);
    *out = stick;
    return 0;
}

static int start(const char *program, const char *device, int child_end, pid_t *pid)
{
    char *const argv[] = {(char[]){"sightline-stick"}, strdup(device), NULL}, *const env[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    if (!argv[1])
        return ENOMEM;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_end, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, child_end, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    const int status = posix_spawn(pid, program, &actions, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(argv[1]);
    return status;
}

int sl_stick_spawn(const char *program, const char *device, int timeout_ms, struct sl_stick **out,
                   struct sl_volume_error *error)
{
    int ends[2];
    pid_t pid = 0;
    int status = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : errno;
    if (status == 0) {
        status = start(program, device, ends[1], &pid);
        close(ends[1]);
        if (status != 0)
            close(ends[0]);
    }
    if (status != 0) {
        if (error)
            snprintf(error->text, sizeof(error->text), "stick reader: '%s': %s", program,
                     strerror(status));
        return -status;
    }
    status = sl_stick_adopt(ends[0], timeout_ms, out, error);
    if (status == 0) {
        (*out)->pid = pid;
    } else {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return status;
}

// A reader goes by itself when its socket closes. One that waits for a dead device cannot even be
// killed at once; it is not waited for longer than this, and stays a zombie when it ends.
void sl_stick_close(struct sl_stick *stick)
{
    char how[128];
    if (!stick)
        return;
    if (stick->fd >= 0)
        close(stick->fd);
    if (stick->pid != 0 && stick->broken)
        kill(stick->pid, SIGKILL);
    describe_end(stick, CLOSE_MS, how, sizeof(how));
    if (stick->pid != 0) {
        kill(stick->pid, SIGKILL);
        describe_end(stick, CLOSE_MS, how, sizeof(how));
    }
    forget_prints(stick);
    free(stick->listing);
    free(stick);
}
