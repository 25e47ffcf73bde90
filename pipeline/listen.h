// Listening to the broker from the command line: options and a small loop.
#ifndef SL_PIPELINE_LISTEN_H
#define SL_PIPELINE_LISTEN_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

struct listen_options {
    const char *host, *username, *password_file, *ca_file, *root, *camera;
    int port;
    double timeout_s; // 0: none
    bool reconnect;   // when the connection is lost; the first must come about
};

// Child parser for argp; its input is a struct listen_options with the defaults filled in.
extern const struct argp listen_argp;
#define LISTEN_DEFAULTS                                                                            \
    {                                                                                              \
        .host = "127.0.0.1", .root = "sightline", .camera = "+", .port = 1883                      \
    }

// `leaf` is what follows ROOT/CAMERA/; camera, leaf and payload end with a NUL. Returns false to
// stop.
typedef bool (*listen_message)(void *ctx, const char *camera, const char *leaf, const char *payload,
                               size_t size, bool retained);

enum listen_result { LISTEN_STOPPED, LISTEN_TIMEOUT, LISTEN_FAILED };

// Subscribes ROOT/CAMERA/LEAF for each leaf (the list ends with NULL) and runs until `message` says
// stop, the time is over, or SIGINT or SIGTERM comes (LISTEN_STOPPED). Says on standard error why
// it failed. `idle`, if any, is called about ten times a second.
enum listen_result listen_run(const struct listen_options *options, const char *verb,
                              const char *const *leaves, listen_message message,
                              void (*idle)(void *ctx), void *ctx);

// Copies at most size - 1 bytes; control characters and broken UTF-8 become '?'.
void listen_clean(const char *text, char *out, size_t size);

// Prints a JSON text as one line: control characters that a lenient reader lets pass within strings
// are escaped (a raw one below 0x20 becomes a space), broken UTF-8 becomes U+FFFD.
void listen_print_json(const char *json);

#endif
