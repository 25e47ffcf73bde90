// What Home Assistant is told: what each message says, when it is said, and when nothing is.
#include "mqtt/homeassistant.h"

#include "mqtt/broker.h"
#include "mqtt/publisher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define WAIT_US 15000000

static struct broker broker;
static struct observer observer;
static char password[128], ledger[128];
static char host[] = "127.0.0.1", app[] = "app", root[] = "plant/line3", client[] = "ha-test";
static char cam1[] = "cam1", cam2[] = "cam2", discovery[] = "homeassistant";
static struct sl_config_camera sections[] = {{.name = cam1}, {.name = cam2}};

static struct sl_publisher *start(uint32_t cameras, char *prefix)
{
    const struct sl_config config = {
        .broker = {.host = host,
                   .port = broker.port,
                   .username = app,
                   .password_file = password,
                   .root = root,
                   .client_id = client,
                   .discovery = prefix,
                   .keepalive_s = 5,
                   .queue = 100},
        .ledger = {.path = ledger, .max_mb = 16, .max_records = 1000, .history_rate = 100},
        .cameras = sections,
        .cameras_count = cameras,
        .metrics_interval_s = 10,
    };
    struct sl_publisher *p = sl_publisher_new(&config, NULL, 0, NULL, NULL);
    assert_non_null(p);
    return p;
}

static size_t told(void)
{
    size_t n = 0;
    for (size_t i = 0; i < observer.n_seen; i++) {
        n += g_str_has_prefix(observer.seen[i].topic, "homeassistant/") &&
             g_str_has_suffix(observer.seen[i].topic, "/config");
    }
    return n;
}

static bool wait_until_told(size_t n)
{
    const gint64 end = g_get_monotonic_time() + WAIT_US;
    while (told() < n && g_get_monotonic_time() < end) {
        observer_poll(&observer, 10);
    }
    return told() >= n;
}

static void poll_for_a_while(void)
{
    for (int i = 0; i < 50; i++) {
        observer_poll(&observer, 10);
    }
}

static int prepare(void **state)
{
    (void)state;
    broker_prepare(&broker);
    broker_path(&broker, "password", password);
    broker_path(&broker, "ledger", ledger);
    broker_start(&broker);
    observer = (struct observer){0};
    observer_start(&observer, &broker);
    return 0;
}

static int clean(void **state)
{
    (void)state;
    observer_stop(&observer);
    broker_remove(&broker);
    return 0;
}

static const char *text_of(const cJSON *json, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsString(value) ? value->valuestring : "";
}

static void says_what_home_assistant_wants(void **state)
{
    (void)state;
    g_autoptr(GHashTable) ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (size_t i = 0; i < homeassistant_count(); i++) {
        struct homeassistant_message message;
        homeassistant_make("homeassistant", "sightline", "cam1", i, &message);
        cJSON *json = cJSON_Parse(message.payload);
        assert_non_null(json);
        assert_true(g_hash_table_add(ids, g_strdup(text_of(json, "unique_id"))));
        const bool is_image = text_of(json, "image_topic")[0] != '\0';
        const char *topic = text_of(json, is_image ? "image_topic" : "state_topic");
        assert_true(g_str_has_prefix(topic, "sightline/cam1/"));
        assert_true(is_image || strstr(text_of(json, "value_template"), "value_json."));
        if (strstr(message.topic, "/update/")) {
            cJSON *install = cJSON_Parse(text_of(json, "payload_install"));
            assert_string_equal(text_of(json, "command_topic"), "sightline/cam1/cmd/update");
            assert_string_equal(text_of(install, "id"), "home-assistant");
            cJSON_Delete(install);
        }
        assert_string_equal(text_of(json, "availability_topic"), "sightline/cam1/status");
        const cJSON *device = cJSON_GetObjectItem(json, "device");
        assert_string_equal(text_of(device, "name"), "Sightline cam1");
        g_auto(GStrv) levels = g_strsplit(message.topic, "/", -1);
        assert_int_equal(g_strv_length(levels), 5);
        assert_string_equal(levels[2], "cam1");
        assert_true(g_str_has_prefix(levels[3], "cam1_"));
        cJSON_Delete(json);
        homeassistant_clear(&message);
        assert_null(message.topic);
    }
}

// What the access list lets a daemon of several cameras write.
static void names_the_line_where_there_is_one(void **state)
{
    (void)state;
    struct homeassistant_message message;
    homeassistant_make("ha", "acme/line3", "cam1", 0, &message);
    assert_string_equal(message.topic, "ha/sensor/line3/cam1_result/config");
    cJSON *json = cJSON_Parse(message.payload);
    assert_string_equal(text_of(json, "availability_topic"), "acme/line3/cam1/status");
    cJSON_Delete(json);
    homeassistant_clear(&message);
}

static void is_said_at_connect_and_at_birth(void **state)
{
    (void)state;
    struct sl_publisher *p = start(2, discovery);
    const size_t all = 2 * homeassistant_count();
    assert_true(wait_until_told(all));
    assert_non_null(observer_find(&observer, "homeassistant/image/line3/cam2_picture/config"));
    observer_forget(&observer);
    static const char *const others[] = {"offline", "onlinee", "", "ONLINE"};
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        mosquitto_publish(observer.mosq, NULL, "homeassistant/status", (int)strlen(others[i]),
                          others[i], 0, false);
    }
    poll_for_a_while();
    assert_int_equal(told(), 0);
    mosquitto_publish(observer.mosq, NULL, "homeassistant/status", 6, "online", 0, true);
    assert_true(wait_until_told(all));
    poll_for_a_while();
    assert_int_equal(told(), all);
    sl_publisher_free(p, 1000);
}

static void is_said_again_by_a_new_connection(void **state)
{
    (void)state;
    struct sl_publisher *p = start(1, discovery);
    assert_true(wait_until_told(homeassistant_count()));
    broker_kill(&broker);
    observer_forget(&observer);
    broker_start(&broker);
    assert_true(wait_until_told(homeassistant_count()));
    sl_publisher_free(p, 1000);
}

static void is_not_said_unless_wanted(void **state)
{
    (void)state;
    struct sl_publisher *p = start(1, NULL);
    poll_for_a_while();
    mosquitto_publish(observer.mosq, NULL, "homeassistant/status", 6, "online", 0, false);
    poll_for_a_while();
    assert_non_null(observer_find(&observer, "plant/line3/cam1/status"));
    assert_int_equal(told(), 0);
    sl_publisher_free(p, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_home_assistant_wants),
        cmocka_unit_test(names_the_line_where_there_is_one),
        cmocka_unit_test_setup_teardown(is_said_at_connect_and_at_birth, prepare, clean),
        cmocka_unit_test_setup_teardown(is_said_again_by_a_new_connection, prepare, clean),
        cmocka_unit_test_setup_teardown(is_not_said_unless_wanted, prepare, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
