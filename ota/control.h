// Between the camera daemon, which serves, and the update agent, which decides: `sightlined`
// listens, `sightline-otad` connects, one message per packet of a SOCK_SEQPACKET socket. The same
// messages go to the self-test's process over a socket pair.
//
//     agent                                  daemon
//     SERVE + descriptor ──────────────────▶ loads it, serves it            ─▶ PASSED or FAILED
//     SHADOW + descriptor, frames ─────────▶ runs it beside                 ─▶ PASSED or FAILED
//     SWAP + descriptor, frames ───────────▶ lets it serve, keeps the old one loaded
//                                                                           ─▶ PASSED or FAILED
//     COMMIT / ROLL_BACK ──────────────────▶ unloads the old / the new one
//
//     WAIT_IDLE, frames: seconds ──────────▶ waits until no part has come for so long  ─▶ IDLE
//
// SWAP after SHADOW of the same id takes what is loaded already. Each of the first three ends in
// one PASSED or FAILED with the same id, unless another message came before. When the agent goes
// away, what serves goes on serving, and a shadow ends.
//
// A descriptor is a sealed memfd with the verified bytes of a bundle; the components say where in
// it each is, as the signed manifest does. Whoever takes one checks seals and ranges.
//
// Blocking calls, one thread per connection. Functions return 0 or a negative errno.
#ifndef SL_OTA_CONTROL_H
#define SL_OTA_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SL_CONTROL_VERSION    1u
#define SL_CONTROL_COMPONENTS 256u
#define SL_CONTROL_ID         32u
#define SL_CONTROL_TEXT       1024u
#define SL_CONTROL_SOCKET     "/run/sightline/control.sock"

enum sl_control_verb {
    SL_CONTROL_SERVE = 1,
    SL_CONTROL_SHADOW,
    SL_CONTROL_SWAP,
    SL_CONTROL_COMMIT,
    SL_CONTROL_ROLL_BACK,
    SL_CONTROL_SELF_TEST, // to the self-test's process only; before it perhaps SERVE: what serves
    SL_CONTROL_STATE,     // text: the agent's state as JSON, for `model/state`
    // from the daemon
    SL_CONTROL_HELLO,  // first: text is the configured back end
    SL_CONTROL_PASSED, // text: what was seen
    SL_CONTROL_FAILED, // text: why
    SL_CONTROL_BYE,    // the daemon ends in order
    SL_CONTROL_ASK,    // somebody asks: text "update" (try what is armed) or "rollback"
    // to the daemon: tell once when no part has come for `frames` seconds; from it: so it is
    SL_CONTROL_WAIT_IDLE,
    SL_CONTROL_IDLE,
    SL_CONTROL_VERBS
};

struct sl_control_component {
    char name[128];
    uint64_t offset, length; // octets of the descriptor
};

struct sl_control_message {
    uint32_t version, verb;
    uint8_t id[SL_CONTROL_ID]; // the bundle's
    uint32_t frames;           // of the shadow or the probation; seconds of WAIT_IDLE
    uint32_t overlap_ppm, score_ppm;
    uint32_t latency_us;          // claims; 0: none
    uint64_t memory;              // octets
    uint64_t compared, different; // frames, of a shadow
    char text[SL_CONTROL_TEXT];
    uint32_t n_components, unused;
    struct sl_control_component components[SL_CONTROL_COMPONENTS]; // only n_components travel
};

// `fd` -1: none. -EPIPE: the other side is gone; -EMSGSIZE: too many components.
int sl_control_send(int socket, const struct sl_control_message *message, int fd);

// Waits for the next. *fd: -1 or the caller's to close. -EPIPE: the other side closed; -EPROTO:
// what came is not a message of this version, whole, with texts that end; nothing is kept of it.
// With `flags` MSG_DONTWAIT: -EAGAIN if there is none.
int sl_control_receive(int socket, struct sl_control_message *message, int *fd, int flags);

// Whether `fd` is a memfd that nobody can change, and holds every component: 0, -EPERM, -ERANGE.
int sl_control_check(int fd, const struct sl_control_message *message);

// A listening socket at `path`, in place of one that was there, for members of group `group` (NULL:
// the owner alone).
int sl_control_listen(const char *path, const char *group);
// -EPERM and closed if the peer is neither root, nor this user, nor in `group`.
int sl_control_accept(int listener, const char *group);
int sl_control_connect(const char *path);

#endif
