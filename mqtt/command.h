// Commands: one table of verbs serves MQTT (cmd/<verb> → reply/<verb>), the control socket and the
// command line.
#ifndef SL_MQTT_COMMAND_H
#define SL_MQTT_COMMAND_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

// Called on the network thread; must return promptly. `arguments` is the JSON object of the
// command (never NULL, keys already checked against the table). Returns 0 and may set *data (taken
// over by the caller), or a negative errno with a message for the sender.
typedef int (*sl_command_handler)(void *ctx, const char *camera, const cJSON *arguments,
                                  cJSON **data, char *message, size_t message_size);

enum sl_argument_type { SL_ARGUMENT_STRING = 1, SL_ARGUMENT_NUMBER, SL_ARGUMENT_BOOL };
struct sl_command_argument {
    const char *name;
    int type; // enum sl_argument_type
    bool required;
    double min, max; // numbers; for strings the length
};

struct sl_command {
    const char *verb;
    const char *summary;
    const struct sl_command_argument *arguments; // ends with a NULL name
    sl_command_handler handler;
};

// Parses `payload` (at most 64 KiB, an object with `id` and the verb's arguments), runs the handler
// and returns the reply `{id, status, error, data}` as a string to be freed. Never NULL but for
// want of memory.
char *sl_command_run(const struct sl_command *commands, size_t count, void *ctx, const char *camera,
                     const char *verb, const void *payload, size_t size);

#endif
