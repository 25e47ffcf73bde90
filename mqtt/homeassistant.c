// What Home Assistant is told: one message per entity of a camera.
#include "mqtt/homeassistant.h"

#include <cjson/cJSON.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

struct entity {
    const char *component, *key, *name, *topic;
    const char *template; // of the state; NULL: the payload itself, or no state
    const char *device_class, *unit, *state_class;
    bool diagnostic;
};

static const struct entity entities[] = {
    {"sensor", "result", "Last result", "verdict/last", "{{ value_json.result }}", "enum", NULL,
     NULL, false},
    {"sensor", "part", "Last part", "verdict/last", "{{ value_json.part_id }}", NULL, NULL, NULL,
     false},
    {"sensor", "parts", "Parts", "metrics", "{{ value_json.parts_total }}", NULL, "parts",
     "total_increasing", false},
    {"sensor", "rejects", "Rejects", "metrics", "{{ value_json.ng_total }}", NULL, "parts",
     "total_increasing", false},
    {"sensor", "errors", "Errors", "metrics", "{{ value_json.error_total }}", NULL, "parts",
     "total_increasing", false},
    {"sensor", "latency", "Latency, 99 %", "metrics", "{{ value_json.latency_ms_p99 }}", "duration",
     "ms", "measurement", true},
    {"binary_sensor", "problem", "Problem", "health",
     "{{ 'OFF' if value_json.state == 'good' else 'ON' }}", "problem", NULL, NULL, true},
    {"image", "picture", "Last picture", "crop/last", NULL, NULL, NULL, NULL, false},
    {"update", "model", "Model", "model/state",
     "{{ {'installed_version': (value_json.active or {}).version, 'latest_version': "
     "(value_json.pending or value_json.active or {}).version} | tojson }}",
     NULL, NULL, NULL, false},
};

size_t homeassistant_count(void)
{
    return G_N_ELEMENTS(entities);
}

static void add_text(cJSON *json, const char *key, const char *text)
{
    if (text) {
        cJSON_AddStringToObject(json, key, text);
    }
}

static void add_topic(cJSON *json, const char *key, const char *root, const char *camera,
                      const char *leaf)
{
    g_autofree char *topic = g_strdup_printf("%s/%s/%s", root, camera, leaf);
    cJSON_AddStringToObject(json, key, topic);
}

static void add_device(cJSON *json, const char *id, const char *camera)
{
    g_autofree char *name = g_strdup_printf("Sightline %s", camera);
    cJSON *device = cJSON_AddObjectToObject(json, "device");
    cJSON *ids = cJSON_AddArrayToObject(device, "identifiers");
    cJSON_AddItemToArray(ids, cJSON_CreateString(id));
    cJSON_AddStringToObject(device, "name", name);
    cJSON_AddStringToObject(device, "manufacturer", "Sightline");
    cJSON_AddStringToObject(device, "model", "Inspection camera");
    cJSON_AddStringToObject(device, "sw_version", SIGHTLINE_VERSION);
    cJSON *origin = cJSON_AddObjectToObject(json, "origin");
    cJSON_AddStringToObject(origin, "name", "sightline");
    cJSON_AddStringToObject(origin, "sw_version", SIGHTLINE_VERSION);
}

static void add_state(cJSON *json, const struct entity *e, const char *root, const char *camera)
{
    if (!e->template) {
        add_topic(json, "image_topic", root, camera, e->topic);
        cJSON_AddStringToObject(json, "content_type", "image/jpeg");
        return;
    }
    add_topic(json, "state_topic", root, camera, e->topic);
    cJSON_AddStringToObject(json, "value_template", e->template);
    add_text(json, "device_class", e->device_class);
    add_text(json, "unit_of_measurement", e->unit);
    add_text(json, "state_class", e->state_class);
    if (g_strcmp0(e->device_class, "enum") == 0) {
        static const char *const results[] = {"ok", "ng", "error"};
        cJSON_AddItemToObject(json, "options",
                              cJSON_CreateStringArray(results, G_N_ELEMENTS(results)));
    }
    if (strcmp(e->component, "update") == 0) { // installs what the agent holds ready
        add_topic(json, "command_topic", root, camera, "cmd/update");
        cJSON_AddStringToObject(json, "payload_install", "{\"id\":\"home-assistant\"}");
    }
    if (g_strcmp0(e->device_class, "problem") == 0) { // the reasons are in it
        add_topic(json, "json_attributes_topic", root, camera, e->topic);
    }
}

void homeassistant_make(const char *prefix, const char *root, const char *camera, size_t index,
                        struct homeassistant_message *out)
{
    const struct entity *e = &entities[index];
    const char *slash = strrchr(root, '/');
    g_autofree char *id = g_strdup_printf("%s-%s", root, camera);
    g_strdelimit(id, "/", '-');
    g_autofree char *unique = g_strdup_printf("%s-%s", id, e->key);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", e->name);
    cJSON_AddStringToObject(json, "unique_id", unique);
    cJSON_AddStringToObject(json, "object_id", unique);
    if (e->diagnostic) {
        cJSON_AddStringToObject(json, "entity_category", "diagnostic");
    }
    add_state(json, e, root, camera);
    add_topic(json, "availability_topic", root, camera, "status");
    add_device(json, id, camera);
    out->topic = g_strdup_printf("%s/%s/%s/%s_%s/config", prefix, e->component,
                                 slash ? slash + 1 : camera, camera, e->key);
    out->payload = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
}

void homeassistant_clear(struct homeassistant_message *message)
{
    g_free(message->topic);
    cJSON_free(message->payload);
    *message = (struct homeassistant_message){0};
}
