// Commands that were seen before, and commands that are answered later.
#include "mqtt/later.h"

#include "mqtt/courier.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define SECOND 1000000000ll

// FNV-1a; http://www.isthe.com/chongo/tech/comp/fnv/
static uint64_t add_text(uint64_t hash, const char *text)
{
    do {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    } while (*text++);
    return hash;
}

bool later_is_repeated(struct later *later, const char *camera, const char *verb, const char *id)
{
    const uint64_t hash = add_text(add_text(add_text(0xcbf29ce484222325u, camera), verb), id);
    const int64_t now = connection_now_ns();
    for (unsigned i = 0; i < LATER_SEEN; i++) {
        if (later->seen[i].hash == hash && later->seen[i].when_ns &&
            now - later->seen[i].when_ns < LATER_SEEN_S * SECOND) {
            return true;
        }
    }
    later->seen[later->next_seen].hash = hash;
    later->seen[later->next_seen].when_ns = now;
    later->next_seen = (later->next_seen + 1) % LATER_SEEN;
    return false;
}

uint32_t later_add(struct sl_publisher *p, const char *id, struct later_reply *reply)
{
    uint32_t token = 0;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < LATER_COMMANDS && !token; i++) {
        struct later_command *c = &p->later.commands[i];
        if (c->token) {
            continue;
        }
        p->later.last_token += p->later.last_token == UINT32_MAX ? 2 : 1;
        token = p->later.last_token;
        *c = (struct later_command){.token = token, .id = g_strdup(id), .reply = *reply};
        *reply = (struct later_reply){0};
    }
    pthread_mutex_unlock(&p->lock);
    return token;
}

void sl_publisher_answer(struct sl_publisher *p, uint32_t token, int status, const char *message,
                         cJSON *data)
{
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < LATER_COMMANDS && token; i++) {
        struct later_command *c = &p->later.commands[i];
        if (c->token == token && !c->reply.payload) {
            char *text = sl_command_reply(c->id, status, message, data);
            data = NULL;
            p->stats.commands_refused += status != 0;
            c->reply.payload = g_strdup(text ? text : "{}");
            free(text);
        }
    }
    pthread_mutex_unlock(&p->lock);
    cJSON_Delete(data);
    eventfd_write(p->wake_fd, 1); // full only if a wake-up is due anyway
}

bool later_take(struct sl_publisher *p, struct later_reply *out)
{
    bool found = false;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < LATER_COMMANDS && !found; i++) {
        struct later_command *c = &p->later.commands[i];
        if (c->token && c->reply.payload) {
            *out = c->reply;
            g_free(c->id);
            *c = (struct later_command){0};
            found = true;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

void later_clear(struct sl_publisher *p)
{
    for (unsigned i = 0; i < LATER_COMMANDS; i++) {
        struct later_command *c = &p->later.commands[i];
        g_free(c->id);
        g_free(c->reply.topic);
        g_free(c->reply.payload);
        free(c->reply.correlation);
    }
}
