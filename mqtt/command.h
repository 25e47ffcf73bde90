// Commands: one table of verbs serves MQTT (cmd/<verb> → reply/<verb>), the control socket and the
// command line.
#ifndef SL_MQTT_COMMAND_H
#define SL_MQTT_COMMAND_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

// Called on the network thread; must return promptly. `arguments` is the JSON object of the
// command (never NULL, keys already checked against the table). Returns 0 and may set *data (taken
// over by the caller), a negative errno with a message for the sender, or SL_COMMAND_LATER: the
// answer comes otherwise (sl_publisher_defer).
#define SL_COMMAND_LATER 1
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
    bool once; // changes something: a second one of the same id is refused
};

// Parses `payload` (at most 64 KiB, an object with `id` and the verb's arguments), runs the handler
// and returns the reply `{id, status, error, data}` as a string to be freed. NULL: it is answered
// later, or memory is short. *outcome: 0, SL_COMMAND_LATER or a negative errno. `before`, which may
// be NULL, is asked before the handler, with the id as JSON; its errno and message refuse.
struct sl_command_check {
    int (*before)(void *ctx, const struct sl_command *command, const char *id, char *message,
                  size_t size);
    void *ctx;
};
char *sl_command_run(const struct sl_command *commands, size_t count, void *ctx, const char *camera,
                     const char *verb, const void *payload, size_t size,
                     const struct sl_command_check *check, int *outcome);

// A reply; `id` as JSON, `data` is taken over. To be freed.
char *sl_command_reply(const char *id, int status, const char *message, cJSON *data);

#endif
