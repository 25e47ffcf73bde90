// The edge node's outside, and its thread.
#include "mqtt/sparkplug/sparkplug.h"

#include "mqtt/sparkplug/node.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define STEP_MS 1000
#define SOON_MS 10
#define GOODBYE 4 // MQTT 5: disconnect with will message

static bool should_stop(struct sl_sparkplug *n, int64_t *stop_ns)
{
    pthread_mutex_lock(&n->lock);
    const bool stopping = n->stopping;
    *stop_ns = n->stop_ns;
    pthread_mutex_unlock(&n->lock);
    return stopping;
}

static void *node_run(void *ctx)
{
    struct sl_sparkplug *n = ctx;
    int64_t stop_ns;
    bool soon = false;
    while (!should_stop(n, &stop_ns)) {
        connection_step(&n->connection, n->wake_fd, soon ? SOON_MS : STEP_MS);
        soon = n->connection.up && node_pump(n);
    }
    if (n->connection.up) {
        node_pump(n); // what is on disk already
    }
    node_leave(n, stop_ns);
    data_clear(n);
    return NULL;
}

static void make_topics(struct sl_sparkplug *n, const char *group)
{
    n->birth_topic = g_strdup_printf("spBv1.0/%s/NBIRTH/%s", group, n->node);
    n->data_topic = g_strdup_printf("spBv1.0/%s/NDATA/%s", group, n->node);
    n->death_topic = g_strdup_printf("spBv1.0/%s/NDEATH/%s", group, n->node);
    n->command_topic = g_strdup_printf("spBv1.0/%s/NCMD/%s", group, n->node);
    n->device_commands = g_strdup_printf("spBv1.0/%s/DCMD/%s/+", group, n->node);
    if (n->primary_host) {
        n->state_topic = g_strdup_printf("spBv1.0/STATE/%s", n->primary_host);
    }
    for (size_t i = 0; i < n->n_cameras; i++) {
        struct node_camera *c = &n->cameras[i];
        c->birth = g_strdup_printf("spBv1.0/%s/DBIRTH/%s/%s", group, n->node, c->name);
        c->data = g_strdup_printf("spBv1.0/%s/DDATA/%s/%s", group, n->node, c->name);
        c->death = g_strdup_printf("spBv1.0/%s/DDEATH/%s/%s", group, n->node, c->name);
        c->command = g_strdup_printf("spBv1.0/%s/DCMD/%s/%s", group, n->node, c->name);
    }
}

static void destroy(struct sl_sparkplug *n)
{
    char *texts[] = {n->client_id,   n->folder,      n->birth_topic,   n->data_topic,
                     n->death_topic, n->state_topic, n->command_topic, n->device_commands};
    char *secrets[] = {n->password, n->psk};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_free(texts[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(secrets); i++) {
        if (secrets[i]) {
            explicit_bzero(secrets[i], strlen(secrets[i]));
        }
        g_free(secrets[i]);
    }
    for (size_t i = 0; i < n->n_cameras; i++) {
        struct node_camera *c = &n->cameras[i];
        g_free(c->birth);
        g_free(c->data);
        g_free(c->death);
        g_free(c->command);
    }
    free(n->will);
    pthread_mutex_destroy(&n->lock);
    g_free(n);
}

static void copy_options(struct sl_sparkplug *n, const struct sl_sparkplug_options *o)
{
    const struct sl_config_sparkplug *s = o->broker->sparkplug;
    n->broker = o->broker;
    n->client_id = g_strdup_printf("%s-sparkplug", o->client_id);
    n->password = g_strdup(o->password);
    n->psk = g_strdup(o->psk);
    n->folder = g_strdup(o->ledger_config->path);
    n->node = s->node ? s->node : o->client_id;
    n->primary_host = s->primary_host;
    n->ledger = o->ledger;
    n->history_rate = o->ledger_config->history_rate;
    n->commands = o->commands;
    n->n_commands = o->n_commands;
    n->commands_ctx = o->commands_ctx;
    n->wake_fd = o->wake_fd;
    n->n_cameras = n->progress.n_cameras = MIN(o->n_cameras, PROGRESS_CAMERAS);
    for (size_t i = 0; i < n->n_cameras; i++) {
        g_strlcpy(n->progress.cameras[i].name, o->cameras[i], sizeof(n->progress.cameras[i].name));
        n->cameras[i].name = n->progress.cameras[i].name;
    }
    make_topics(n, s->group);
}

struct sl_sparkplug *sl_sparkplug_new(const struct sl_sparkplug_options *o, GError **error)
{
    struct sl_sparkplug *n = g_new0(struct sl_sparkplug, 1);
    pthread_mutex_init(&n->lock, NULL);
    copy_options(n, o);
    progress_load(&n->progress, n->folder);
    struct sl_ledger_stats stats;
    sl_ledger_stats(n->ledger, &stats);
    n->begun = stats.head;
    n->connection = (struct connection){
        .broker = n->broker,
        .client_id = n->client_id,
        .password = n->password,
        .psk = n->psk,
        .goodbye = GOODBYE,
        .events = &node_events,
        .ctx = n,
    };
    const int code = pthread_create(&n->thread, NULL, node_run, n);
    if (code) {
        g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(code), "sparkplug: %s",
                    g_strerror(code));
        destroy(n);
        return NULL;
    }
    return n;
}

void sl_sparkplug_free(struct sl_sparkplug *n, uint32_t timeout_ms)
{
    if (!n) {
        return;
    }
    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    n->stop_ns = connection_now_ns() + timeout_ms * 1000000ll;
    pthread_mutex_unlock(&n->lock);
    eventfd_write(n->wake_fd, 1);
    pthread_join(n->thread, NULL);
    destroy(n);
}

static void take_health(struct node_camera *c, const cJSON *json)
{
    const cJSON *camera = cJSON_GetObjectItemCaseSensitive(json, "camera");
    const cJSON *works = cJSON_GetObjectItemCaseSensitive(camera, "state");
    const cJSON *state = cJSON_GetObjectItemCaseSensitive(json, "state");
    c->works = cJSON_IsString(works) && strcmp(works->valuestring, "ok") == 0;
    g_strlcpy(c->health, cJSON_IsString(state) ? state->valuestring : "", sizeof(c->health));
}

static void take_info(struct node_camera *c, const cJSON *json)
{
    const cJSON *model = cJSON_GetObjectItemCaseSensitive(json, "model");
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(model, "id");
    g_strlcpy(c->model, cJSON_IsString(id) ? id->valuestring : "", sizeof(c->model));
}

void sl_sparkplug_state(struct sl_sparkplug *n, const char *camera, enum sl_state_topic topic,
                        const char *text)
{
    if (!n || (topic != SL_STATE_HEALTH && topic != SL_STATE_INFO)) {
        return;
    }
    cJSON *json = cJSON_Parse(text);
    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < n->n_cameras && json; i++) {
        if (strcmp(n->cameras[i].name, camera) == 0) {
            (topic == SL_STATE_HEALTH ? take_health : take_info)(&n->cameras[i], json);
        }
    }
    pthread_mutex_unlock(&n->lock);
    cJSON_Delete(json);
    eventfd_write(n->wake_fd, 1);
}

void sl_sparkplug_problem(struct sl_sparkplug *n, char *out, size_t size)
{
    g_strlcpy(out, "", size);
    if (n) {
        pthread_mutex_lock(&n->lock);
        g_strlcpy(out, n->problem, size);
        pthread_mutex_unlock(&n->lock);
    }
}
