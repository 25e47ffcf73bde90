// Inside of mqtt/: commands that were seen before, and commands that are answered later.
//
// A repeated command is refused: what has the camera, the verb and the id of one that came less
// than LATER_SEEN_S ago was sent twice, or recorded and sent again. Verbs that change nothing may
// repeat.
#ifndef SL_MQTT_LATER_H
#define SL_MQTT_LATER_H

#include <stdbool.h>
#include <stdint.h>

#define LATER_SEEN     64
#define LATER_SEEN_S   30
#define LATER_COMMANDS 8

struct sl_publisher;

struct later_reply { // owns its pointers
    char *topic, *payload;
    void *correlation;
    uint16_t correlation_size;
};

struct later {
    struct {
        uint64_t hash;
        int64_t when_ns;
    } seen[LATER_SEEN]; // network thread only; a ring
    unsigned next_seen;
    // Under the publisher's lock.
    uint32_t last_token;
    struct later_command {
        uint32_t token; // 0: free
        char *id;       // as JSON
        struct later_reply reply; // payload NULL: not answered yet
    } commands[LATER_COMMANDS];
};

// Remembers it, too. `id` is the JSON of the command's id.
bool later_is_repeated(struct later *later, const char *camera, const char *verb, const char *id);

// Takes the topic and the correlation over. 0: no more can wait.
uint32_t later_add(struct sl_publisher *publisher, const char *id, struct later_reply *reply);
// One that is answered, to be freed by the caller; false: there is none.
bool later_take(struct sl_publisher *publisher, struct later_reply *out);
void later_clear(struct sl_publisher *publisher);

#endif
