// Fuzz target: commands as they come from the broker, through the daemon's own table, to the reply.
// Camera, ledger and update agent are stand-ins, which are linked instead of the real ones.
//
// Input, a line each: the verb, the response topic (empty: none), the payload, a verdict that the
// ledger holds.
#include "mqtt/courier.h"
#include "mqtt/ledger/recent.h"
#include "pipeline/daemon_inside.h"

#include <errno.h>
#include <mqtt_protocol.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPLIES "sightline/cam/reply/"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct sl_camera {
    struct sl_config_camera config;
    gfloat value[2];
};

static char cam[] = "cam", board_a[] = "board-a", board_b[] = "board-b", any_model[] = "m";
static struct sl_config_recipe recipes[] = {{.name = board_a}, {.name = board_b}};
static struct sl_config_camera section = {.name = cam,
                                          .part = {.recipe = board_a},
                                          .model = {.path = any_model},
                                          .recipes = recipes,
                                          .recipes_count = 2};
static struct sl_config config = {.cameras = &section, .cameras_count = 1};
static struct sl_camera camera;
static const char *const classes[] = {"open", "short"};
static struct sl_daemon daemon_;
static struct sl_publisher publisher;
static struct courier_camera topics;
static const char *verdict; // of the ledger
static gchar *folder, *path;

static void must(bool good)
{
    if (!good)
        abort();
}

const struct sl_config_camera *sl_camera_config(const struct sl_camera *c)
{
    return &c->config;
}

void sl_camera_get_status(struct sl_camera *c, struct sl_camera_status *out)
{
    (void)c;
    *out = (struct sl_camera_status){.state = SL_CAMERA_OK, .model = "pcb 1"};
}

guint sl_camera_get_thresholds(struct sl_camera *c, struct sl_camera_threshold out[SL_MAX_CLASSES])
{
    for (guint i = 0; i < 2; i++)
        out[i] = (struct sl_camera_threshold){classes[i], c->value[i], 0.5f};
    return 2;
}

int sl_camera_set_threshold(struct sl_camera *c, const char *class_name, gfloat value,
                            gfloat *before)
{
    *before = c->value[0];
    must(value >= SL_THRESHOLD_FLOOR && value <= 1);
    for (guint i = 0; i < 2; i++)
        if (!class_name || !strcmp(class_name, classes[i]))
            c->value[i] = value;
    return 0;
}

int sl_camera_trigger(struct sl_camera *c, const gchar *part_id)
{
    (void)c;
    must(!part_id || (strlen(part_id) >= 1 && strlen(part_id) <= 63));
    return part_id && part_id[0] == 'b' ? -EBUSY : 0;
}

int sl_camera_snapshot(struct sl_camera *c, char crop[24])
{
    (void)c;
    g_strlcpy(crop, "1-2-snap", 24);
    return 0;
}

int sl_camera_preview(struct sl_camera *c, gdouble rate, gdouble seconds)
{
    (void)c;
    must(rate >= 1 && rate <= 5 && seconds >= 1 && seconds <= 60);
    return seconds > 30 ? -EIO : 0;
}

void sl_camera_set_job(struct sl_camera *c, const gchar *job)
{
    (void)c;
    must(strlen(job) <= 63);
}

void sl_camera_free(struct sl_camera *c)
{
    must(!c || c == &camera);
}

GstElement *sl_camera_detect(struct sl_camera *c)
{
    (void)c;
    return NULL;
}

void sl_camera_set_model(struct sl_camera *c, const char *model)
{
    (void)c;
    (void)model;
}

struct sl_camera *daemon_make_camera(struct sl_daemon *d, const struct sl_config_camera *of,
                                     const struct sl_config_evidence *evidence, const gchar *recipe,
                                     GError **error)
{
    (void)d;
    (void)evidence;
    (void)error;
    must(daemon_effective_config(of, recipe, &camera.config));
    return &camera;
}

void daemon_replace_cameras(struct sl_daemon *d, GPtrArray *old, GPtrArray *made)
{
    (void)d;
    must(old->len == 1 && made->len == 1);
}

void daemon_announce(struct sl_daemon *d, const char *name)
{
    (void)d;
    must(!strcmp(name, cam));
}

bool sl_publisher_feedback(struct sl_publisher *p, const char *name, const char *part_id,
                           const cJSON *arguments)
{
    (void)p;
    must(!strcmp(name, cam) && strlen(part_id) <= 63 && cJSON_IsObject(arguments));
    return part_id[0] != 'f';
}

void sl_publisher_stats(struct sl_publisher *p, struct sl_publisher_stats *out)
{
    (void)p;
    *out = (struct sl_publisher_stats){.connected = true};
}

const char *sl_publisher_ledger_folder(struct sl_publisher *p)
{
    (void)p;
    return folder;
}

void sl_publisher_state(struct sl_publisher *p, const char *name, enum sl_state_topic topic,
                        const char *json)
{
    (void)p;
    (void)name;
    (void)topic;
    (void)json;
}

int64_t sl_ledger_recent(const char *of, const char *name, uint32_t limit,
                         void (*each)(void *ctx, const char *body), void *ctx, GError **error)
{
    (void)of;
    (void)name;
    (void)error;
    must(limit >= 1 && limit <= 10000);
    for (uint32_t i = 0; i < 3 && i < limit; i++)
        each(ctx, verdict);
    return 3;
}

int sl_update_ask(struct sl_update *update, const char *what)
{
    (void)update;
    return what[0] == 'u' ? 0 : -ENOTCONN;
}

struct sl_update *sl_update_new(const gchar *at, const gchar *group, const gchar *backend,
                                sl_update_state state, void *ctx, GError **error)
{
    (void)at;
    (void)group;
    (void)backend;
    (void)state;
    (void)ctx;
    (void)error;
    return NULL;
}

void sl_update_attach(struct sl_update *update, GstElement *detect, sl_update_changed changed,
                      void *of)
{
    (void)update;
    (void)detect;
    (void)changed;
    (void)of;
}

void sl_update_detach(struct sl_update *update, GstElement *detect)
{
    (void)update;
    (void)detect;
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

static void prepare(void)
{
    static char commands[] = "sightline/cam/cmd/", replies[] = REPLIES;
    if (!folder) {
        folder = g_dir_make_tmp("sl-fuzz-commands-XXXXXX", NULL);
        path = g_build_filename(folder, "changes.json", NULL);
        atexit(remove_folder);
    }
    unlink(path);
    camera = (struct sl_camera){section, {0.5f, 0.5f}};
    daemon_ = (struct sl_daemon){.config = &config, .publisher = &publisher};
    daemon_.cameras = g_ptr_array_new();
    daemon_.changes = sl_changes_load(path);
    g_ptr_array_add(daemon_.cameras, &camera);
    topics = (struct courier_camera){.name = "cam", .reply = replies, .commands = commands};
    publisher = (struct sl_publisher){.commands = daemon_commands,
                                      .n_commands = daemon_commands_count,
                                      .commands_ctx = &daemon_,
                                      .n_cameras = 1,
                                      .cameras = &topics,
                                      .wake_fd = -1};
    pthread_mutex_init(&publisher.lock, NULL);
}

static void check_changes(const char *verb, const cJSON *data)
{
    if (!strcmp(verb, "recipe")) {
        const char *name = cJSON_GetObjectItemCaseSensitive(data, "recipe")->valuestring;
        const gchar *kept = sl_changes_recipe(daemon_.changes, cam);
        must(!strcmp(kept ? kept : board_a, name) && !strcmp(camera.config.part.recipe, name));
    }
    if (!strcmp(verb, "threshold")) {
        const double value = cJSON_GetObjectItemCaseSensitive(data, "value")->valuedouble;
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(data, "class");
        const char *class_name = cJSON_IsString(name) ? name->valuestring : "open";
        const bool applied = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(data, "applied"));
        must(!applied ||
             sl_changes_threshold(daemon_.changes, cam, board_a, class_name, 0.5) == value);
        must(cJSON_GetObjectItemCaseSensitive(data, "parts")->valuedouble <= 3);
    }
}

static void check_reply(const struct later_reply *reply, const char *verb)
{
    cJSON *json = cJSON_Parse(reply->payload);
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(json, "status");
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(json, "error");
    must(g_str_has_prefix(reply->topic, REPLIES) && reply->topic[strlen(REPLIES)]);
    must(mosquitto_pub_topic_check(reply->topic) == 0);
    must(g_utf8_validate(reply->payload, -1, NULL) && cJSON_IsString(status));
    const bool good = !strcmp(status->valuestring, "ok");
    must(good ? cJSON_IsNull(error) : cJSON_IsString(error) && error->valuestring[0]);
    if (good)
        check_changes(verb, cJSON_GetObjectItemCaseSensitive(json, "data"));
    cJSON_Delete(json);
}

static void clear_reply(struct later_reply *reply)
{
    g_free(reply->topic);
    g_free(reply->payload);
    free(reply->correlation);
}

// Every command has one answer, at once or later.
static void take_replies(const char *verb)
{
    struct later_reply late;
    unsigned n = publisher.n_replies;
    for (unsigned i = 0; i < publisher.n_replies; i++) {
        check_reply(&publisher.replies[i], verb);
        clear_reply(&publisher.replies[i]);
    }
    for (; later_take(&publisher, &late); n++) {
        check_reply(&late, verb);
        clear_reply(&late);
    }
    must(n == 1);
}

static void tell(const char *verb, const char *response, char *payload)
{
    g_autofree char *topic = g_strconcat(topics.commands, verb, NULL);
    struct mosquitto_message message = {
        .topic = topic, .payload = payload, .payloadlen = (int)strlen(payload)};
    mosquitto_property *with = NULL;
    if (response[0]) {
        mosquitto_property_add_string(&with, MQTT_PROP_RESPONSE_TOPIC, response);
        mosquitto_property_add_binary(&with, MQTT_PROP_CORRELATION_DATA, response,
                                      (uint16_t)MIN(strlen(response), 20));
    }
    courier_events.message(&publisher, &message, with);
    mosquitto_property_free_all(&with);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    g_autofree char *text = g_strndup((const char *)bytes, size);
    g_auto(GStrv) lines = g_strsplit(text, "\n", 4);
    if (g_strv_length(lines) < 4 || mosquitto_pub_topic_check(lines[0]) || !lines[0][0] ||
        strchr(lines[0], '/') || strlen(lines[0]) > 200)
        return 0; // the subscription brings no such topic
    prepare();
    verdict = lines[3];
    tell(lines[0], lines[1], lines[2]);
    daemon_change_recipes(&daemon_);
    take_replies(lines[0]);
    later_clear(&publisher);
    pthread_mutex_destroy(&publisher.lock);
    sl_changes_free(daemon_.changes);
    g_ptr_array_unref(daemon_.cameras);
    return 0;
}
