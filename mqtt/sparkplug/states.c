// What node and devices say when it changes: health, working cameras, models.
#include "mqtt/sparkplug/node.h"

#include <string.h>

static const char *const ranks[] = {"", "good", "degraded", "fault"}; // "": not known yet

static size_t rank_of(const char *health)
{
    size_t rank = G_N_ELEMENTS(ranks) - 1;
    while (rank > 0 && strcmp(health, ranks[rank])) {
        rank--;
    }
    return rank;
}

struct node_state states_of(struct sl_sparkplug *n)
{
    struct node_state state = {.health = 0};
    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < n->n_cameras; i++) {
        state.health = MAX(state.health, rank_of(n->cameras[i].health));
        state.working += n->cameras[i].works;
    }
    pthread_mutex_unlock(&n->lock);
    return state;
}

size_t states_metrics(const struct node_state *state, const struct node_state *said,
                      struct sparkplug_metric out[NODE_STATES])
{
    const uint64_t now_ms = node_now_ms();
    size_t n = 0;
    if (!said || state->health != said->health) {
        out[n++] = (struct sparkplug_metric){.name = "Health",
                                             .type = SPARKPLUG_STRING,
                                             .timestamp_ms = now_ms,
                                             .text = state->health ? ranks[state->health] : NULL};
    }
    if (!said || state->working != said->working) {
        out[n++] = (struct sparkplug_metric){.name = "Cameras/Working",
                                             .type = SPARKPLUG_UINT64,
                                             .timestamp_ms = now_ms,
                                             .number = state->working};
    }
    return n;
}

static bool send_own(struct sl_sparkplug *n)
{
    struct sparkplug_metric metrics[NODE_STATES];
    const struct node_state state = states_of(n);
    const size_t count = states_metrics(&state, &n->said, metrics);
    if (count && !node_publish(n, n->data_topic, metrics, count, false)) {
        return false;
    }
    n->said = state;
    return true;
}

static bool send_camera(struct sl_sparkplug *n, struct node_camera *c)
{
    char health[16], model[64];
    struct sparkplug_metric metrics[2];
    size_t count = 0;
    pthread_mutex_lock(&n->lock);
    g_strlcpy(health, c->health, sizeof(health));
    g_strlcpy(model, c->model, sizeof(model));
    pthread_mutex_unlock(&n->lock);
    const struct sparkplug_metric text = {.type = SPARKPLUG_STRING, .timestamp_ms = node_now_ms()};
    if (strcmp(health, c->said_health)) {
        metrics[count] = text;
        metrics[count].name = "Health";
        metrics[count++].text = health;
    }
    if (strcmp(model, c->said_model)) {
        metrics[count] = text;
        metrics[count].name = "Model/Version";
        metrics[count++].text = model;
    }
    if (!c->born || !count) {
        return true;
    }
    if (!node_publish(n, c->data, metrics, count, false)) {
        return false;
    }
    g_strlcpy(c->said_health, health, sizeof(c->said_health));
    g_strlcpy(c->said_model, model, sizeof(c->said_model));
    return true;
}

bool states_send(struct sl_sparkplug *n)
{
    bool sent = send_own(n);
    for (size_t i = 0; i < n->n_cameras && sent; i++) {
        sent = send_camera(n, &n->cameras[i]);
    }
    return sent;
}
