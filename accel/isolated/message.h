// Inside of accel/isolated: what parent and child say to each other, over a socket of whole
// messages (SOCK_SEQPACKET). The parent asks, the child answers every message with one of the same
// kind and number. Tensors and networks travel as descriptors of memfds, never as bytes.
#ifndef SL_ACCEL_ISOLATED_MESSAGE_H
#define SL_ACCEL_ISOLATED_MESSAGE_H

#include <stdint.h>

#define ISO_PROTOCOL 1u
#define ISO_SOCKET   3 // the child's descriptor
#define ISO_PROGRAMS 64
#define ISO_TENSORS  64 // of one program

enum iso_kind {
    ISO_OPEN = 1, // text: configuration string; value: ISO_PROTOCOL
    ISO_LOAD,     // program; descriptor of the network; bytes. Answer: value is program_bytes
    ISO_UNLOAD,   // program
    ISO_BIND,     // program, index (inputs, then outputs); descriptor, offset, bytes
    ISO_RUN,      // program, deadline_ns. Answer: value is 1 if the work is still going on
    ISO_HEALTH,   // answer: health_ok, temperature_c, clock_mhz, value: errors
    ISO_RESET,
};

// The short part is all that a run needs; the text follows where there is one.
struct iso_message {
    uint32_t kind, number;
    uint32_t program, index;
    int32_t status;
    uint32_t health_ok;
    float temperature_c, clock_mhz;
    uint64_t offset, bytes, value;
    int64_t deadline_ns;
    char text[512]; // always with an end
};

// Sends with `fd` unless that is -1. 0 or a negative errno; -EAGAIN if the socket is full.
int iso_send(int socket, const struct iso_message *message, int fd);
// Receives one whole message, without blocking if `flags` has MSG_DONTWAIT; *fd is -1 or the
// receiver's. -EAGAIN: none yet; -ENOTCONN: the other end is gone; -EPROTO: not of ours.
int iso_receive(int socket, struct iso_message *message, int *fd, int flags);

#endif
