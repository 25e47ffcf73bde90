// The publisher's outside: what any thread may call. The rest is courier.c.
#include "mqtt/publisher.h"

#include "mqtt/courier.h"
#include "mqtt/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS              1000000ll
#define FAREWELL_MAX_MS 500u
#define GOODBYE_MS      500u
#define SESSION_S       10u // longer than the will waits

static struct sl_config_sparkplug *copy_sparkplug(const struct sl_config_sparkplug *s)
{
    struct sl_config_sparkplug *copy = s ? g_new0(struct sl_config_sparkplug, 1) : NULL;
    if (copy) {
        copy->group = g_strdup(s->group);
        copy->node = g_strdup(s->node);
        copy->primary_host = g_strdup(s->primary_host);
    }
    return copy;
}

static void free_sparkplug(struct sl_config_sparkplug *s)
{
    if (s) {
        g_free(s->group);
        g_free(s->node);
        g_free(s->primary_host);
        g_free(s);
    }
}

static void copy_broker(struct sl_config_broker *out, const struct sl_config_broker *broker)
{
    *out = *broker;
    out->host = g_strdup(broker->host);
    out->username = g_strdup(broker->username);
    out->password_file = g_strdup(broker->password_file);
    out->ca_file = g_strdup(broker->ca_file);
    out->certificate_file = g_strdup(broker->certificate_file);
    out->key_file = g_strdup(broker->key_file);
    out->psk_identity = g_strdup(broker->psk_identity);
    out->psk_file = g_strdup(broker->psk_file);
    out->root = g_strdup(broker->root);
    out->discovery = g_strdup(broker->discovery);
    out->client_id = NULL; // sl_publisher has its own, never NULL
    out->sparkplug = copy_sparkplug(broker->sparkplug);
}

static void clear_broker(struct sl_config_broker *broker)
{
    g_free(broker->host);
    g_free(broker->username);
    g_free(broker->password_file);
    g_free(broker->ca_file);
    g_free(broker->certificate_file);
    g_free(broker->key_file);
    g_free(broker->psk_identity);
    g_free(broker->psk_file);
    g_free(broker->root);
    g_free(broker->discovery);
    free_sparkplug(broker->sparkplug);
}

static char *make_client_id(const struct sl_config_broker *broker)
{
    if (broker->client_id) {
        return g_strdup(broker->client_id);
    }
    char host[65] = "";
    gethostname(host, sizeof(host) - 1);
    char *id = g_ascii_strdown(g_strcanon(host, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS, '-'), -1);
    char *client_id = g_strdup_printf("sightline-%s", id);
    g_free(id);
    return client_id;
}

static void read_boot_id(char *out, size_t size)
{
    g_autofree char *boot = NULL;
    if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL)) {
        g_strlcpy(out, g_strstrip(boot), size);
    }
}

static void make_camera(struct courier_camera *camera, const char *root, const char *name)
{
    g_strlcpy(camera->name, name, sizeof(camera->name));
    camera->verdict = g_strdup_printf("%s/%s/verdict", root, name);
    camera->last = g_strdup_printf("%s/%s/verdict/last", root, name);
    camera->defect = g_strdup_printf("%s/%s/defect", root, name);
    camera->gap = g_strdup_printf("%s/%s/gap", root, name);
    camera->alarm = g_strdup_printf("%s/%s/alarm", root, name);
    camera->reply = g_strdup_printf("%s/%s/reply/", root, name);
    camera->commands = g_strdup_printf("%s/%s/cmd/", root, name);
    static const char *const states[COURIER_STATES] = {"info", "health", "metrics", "model/state"};
    for (size_t s = 0; s < COURIER_STATES; s++) {
        camera->state[s] = g_strdup_printf("%s/%s/%s", root, name, states[s]);
    }
}

static void clear_camera(struct courier_camera *camera)
{
    char *topics[] = {camera->verdict, camera->last,  camera->defect,  camera->gap,
                      camera->alarm,   camera->reply, camera->commands};
    for (size_t i = 0; i < G_N_ELEMENTS(topics); i++) {
        g_free(topics[i]);
    }
    for (size_t s = 0; s < COURIER_STATES; s++) {
        g_free(camera->state[s]);
        g_clear_pointer(&camera->payload[s], g_ref_string_release);
    }
}

static void make_topics(struct sl_publisher *p, const struct sl_config *config)
{
    p->n_cameras = config->cameras_count;
    p->cameras = g_new0(struct courier_camera, p->n_cameras);
    for (size_t i = 0; i < p->n_cameras; i++) {
        make_camera(&p->cameras[i], p->broker.root, config->cameras[i].name);
    }
}

// Beside verdicts and state, and only if it is wanted.
static void make_discovery(struct sl_publisher *p)
{
    const char *prefix = p->broker.discovery;
    const size_t each = homeassistant_count();
    if (!prefix) {
        return;
    }
    p->birth = g_strdup_printf("%s/status", prefix);
    p->n_discovery = p->n_cameras * each;
    p->discovery = g_new0(struct homeassistant_message, p->n_discovery);
    for (size_t i = 0; i < p->n_discovery; i++) {
        homeassistant_make(prefix, p->broker.root, p->cameras[i / each].name, i % each,
                           &p->discovery[i]);
    }
}

static void destroy(struct sl_publisher *p)
{
    sl_sparkplug_free(p->sparkplug, GOODBYE_MS);
    sl_ledger_free(p->ledger);
    for (size_t i = 0; i < p->n_cameras; i++) {
        clear_camera(&p->cameras[i]);
    }
    for (size_t i = 0; i < p->n_discovery; i++) {
        homeassistant_clear(&p->discovery[i]);
    }
    g_free(p->discovery);
    g_free(p->birth);
    status_clear(p);
    pictures_clear(p);
    later_clear(p);
    g_free(p->cameras);
    g_free(p->client_id);
    credentials_clear(p->password);
    credentials_clear(p->psk);
    clear_broker(&p->broker);
    const int fds[] = {p->wake_fd, p->sparkplug_fd};
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    pthread_mutex_destroy(&p->lock);
    mosquitto_lib_cleanup();
    g_free(p);
}

static bool fail_errno(GError **error, const char *what, int code)
{
    g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(code), "%s: %s", what,
                g_strerror(code));
    return false;
}

static void wake(struct sl_publisher *p)
{
    eventfd_write(p->wake_fd, 1); // full only if a wake-up is due anyway
}

static void on_committed(void *publisher)
{
    const struct sl_publisher *p = publisher;
    wake(publisher);
    eventfd_write(p->sparkplug_fd, 1);
}

static bool open_ledger(struct sl_publisher *p, const struct sl_config *config, GError **error)
{
    g_autofree const char **names = g_new0(const char *, p->n_cameras + 1);
    for (size_t i = 0; i < p->n_cameras; i++) {
        names[i] = p->cameras[i].name;
    }
    const struct sl_ledger_options options = {
        .config = &config->ledger,
        .cameras = names,
        .n_cameras = p->n_cameras,
        .queue = config->broker.queue,
        .boot_id = p->boot_id,
        .committed = on_committed,
        .ctx = p,
    };
    p->ledger = sl_ledger_new(&options, error);
    p->feed.ledger = p->ledger;
    p->feed.history_rate = config->ledger.history_rate;
    return p->ledger != NULL;
}

static bool open_sparkplug(struct sl_publisher *p, const struct sl_config *config, GError **error)
{
    g_autofree const char **names = g_new0(const char *, p->n_cameras + 1);
    for (size_t i = 0; i < p->n_cameras; i++) {
        names[i] = p->cameras[i].name;
    }
    const struct sl_sparkplug_options options = {
        .broker = &p->broker,
        .client_id = p->client_id,
        .password = p->password,
        .psk = p->psk,
        .ledger_config = &config->ledger,
        .ledger = p->ledger,
        .cameras = names,
        .n_cameras = p->n_cameras,
        .commands = p->commands,
        .n_commands = p->n_commands,
        .commands_ctx = p->commands_ctx,
        .wake_fd = p->sparkplug_fd,
    };
    p->sparkplug = p->broker.sparkplug ? sl_sparkplug_new(&options, error) : NULL;
    return p->sparkplug || !p->broker.sparkplug;
}

static bool start(struct sl_publisher *p, const struct sl_config *config, GError **error)
{
    if (!credentials_read(&p->broker, &p->password, error) ||
        !credentials_read_psk(&p->broker, &p->psk, error)) {
        return false;
    }
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->sparkplug_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->wake_fd < 0 || p->sparkplug_fd < 0) {
        return fail_errno(error, "eventfd", errno);
    }
    if (!open_ledger(p, config, error) || !open_sparkplug(p, config, error)) {
        return false;
    }
    p->connection = (struct connection){
        .broker = &p->broker,
        .client_id = p->client_id,
        .password = p->password,
        .psk = p->psk,
        .session_s = SESSION_S,
        .events = &courier_events,
        .ctx = p,
    };
    status_make(p);
    int code = pthread_create(&p->thread, NULL, courier_run, p);
    return code ? fail_errno(error, "network thread", code) : true;
}

struct sl_publisher *sl_publisher_new(const struct sl_config *config,
                                      const struct sl_command *commands, size_t n_commands,
                                      void *ctx, GError **error)
{
    if (config->cameras_count == 0 || config->broker.queue == 0 || !config->ledger.path) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "publisher: expected a camera, a ledger and room for a verdict, found %u, %s "
                    "and %u",
                    config->cameras_count, config->ledger.path ? config->ledger.path : "none",
                    config->broker.queue);
        return NULL;
    }
    struct sl_publisher *p = g_new0(struct sl_publisher, 1);
    mosquitto_lib_init();
    pthread_mutex_init(&p->lock, NULL);
    p->wake_fd = p->sparkplug_fd = -1;
    p->metrics_expiry_s = 2 * config->metrics_interval_s;
    p->commands = commands;
    p->n_commands = n_commands;
    p->commands_ctx = ctx;
    copy_broker(&p->broker, &config->broker);
    p->client_id = make_client_id(&config->broker);
    read_boot_id(p->boot_id, sizeof(p->boot_id));
    make_topics(p, config);
    pictures_init(p);
    make_discovery(p);
    if (!start(p, config, error)) {
        destroy(p);
        return NULL;
    }
    return p;
}

void sl_publisher_free(struct sl_publisher *p, uint32_t timeout_ms)
{
    if (!p) {
        return;
    }
    uint32_t farewell_ms = MIN(timeout_ms / 4, FAREWELL_MAX_MS);
    int64_t now = connection_now_ns();
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    p->stop_ns = now + timeout_ms * MS;
    p->drain_ns = p->stop_ns - farewell_ms * MS;
    pthread_mutex_unlock(&p->lock);
    wake(p);
    pthread_join(p->thread, NULL);
    destroy(p);
}

static struct courier_camera *find_camera(struct sl_publisher *p, const char *name)
{
    for (size_t i = 0; i < p->n_cameras; i++) {
        if (strncmp(p->cameras[i].name, name, sizeof(p->cameras[i].name)) == 0) {
            return &p->cameras[i];
        }
    }
    return NULL;
}

uint64_t sl_publisher_verdict(struct sl_publisher *p, const struct sl_verdict *verdict)
{
    return sl_ledger_append(p->ledger, verdict);
}

void sl_publisher_state(struct sl_publisher *p, const char *camera_name, enum sl_state_topic topic,
                        const char *json)
{
    struct courier_camera *camera = find_camera(p, camera_name);
    size_t s = (size_t)topic - 1;
    if (!camera || s >= COURIER_STATES) {
        return;
    }
    sl_sparkplug_state(p->sparkplug, camera_name, topic, json);
    GRefString *payload = g_ref_string_new(json);
    pthread_mutex_lock(&p->lock);
    GRefString *before = camera->payload[s];
    camera->payload[s] = payload;
    camera->due[s] = true;
    pthread_mutex_unlock(&p->lock);
    if (before) {
        g_ref_string_release(before);
    }
    wake(p);
}

bool sl_publisher_feedback(struct sl_publisher *p, const char *camera, const char *part_id,
                           const cJSON *arguments)
{
    char *text = cJSON_PrintUnformatted(arguments);
    const bool taken = text && sl_ledger_feedback(p->ledger, camera, part_id, text);
    cJSON_free(text);
    return taken;
}

bool sl_publisher_alarm(struct sl_publisher *p, const char *camera, const char *json)
{
    return sl_ledger_alarm(p->ledger, camera, json);
}

const char *sl_publisher_ledger_folder(struct sl_publisher *p)
{
    return sl_ledger_folder(p->ledger);
}

void sl_publisher_stats(struct sl_publisher *p, struct sl_publisher_stats *out)
{
    struct sl_ledger_stats ledger;
    sl_ledger_stats(p->ledger, &ledger);
    pthread_mutex_lock(&p->lock);
    *out = p->stats;
    out->pictures_sent = p->pictures.sent;
    out->pictures_dropped = p->pictures.dropped;
    pthread_mutex_unlock(&p->lock);
    sl_sparkplug_problem(p->sparkplug, out->sparkplug_problem, sizeof(out->sparkplug_problem));
    out->accepted = ledger.accepted;
    const uint32_t acknowledged = atomic_load(&p->feed.graced[0]);
    const uint32_t refused = atomic_load(&p->feed.graced[1]);
    out->acknowledged = ledger.sent + acknowledged;
    out->dropped = ledger.dropped;
    out->refused = ledger.parked + refused;
    out->queued = ledger.queued;
    out->waiting = ledger.waiting;
    out->ledger_bytes = ledger.bytes;
    out->ledger_records = ledger.rows;
    g_strlcpy(out->ledger_problem, ledger.problem, sizeof(out->ledger_problem));
}

int64_t sl_publisher_last_sent_ns(struct sl_publisher *p)
{
    return atomic_load(&p->last_sent_ns);
}
