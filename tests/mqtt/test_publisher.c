// The publisher against a real Mosquitto: absent, killed, stalled, refusing, and well.
#include "mqtt/publishing.h"

#include <arpa/inet.h>
#include <mqtt_protocol.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char limited[] = "limited", root[] = "plant/line", client[] = "sightline-test";
static int handled; // network thread; read after the reply has been seen

static int on_ping(void *ctx, const char *camera, const cJSON *arguments, cJSON **data,
                   char *message, size_t message_size)
{
    (void)ctx;
    (void)arguments;
    (void)message;
    (void)message_size;
    __atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
    *data = cJSON_CreateString(camera);
    return 0;
}

static const struct sl_command commands[] = {{"ping", "answers", NULL, on_ping, true}};

static struct sl_config with_queue(uint32_t queue)
{
    struct sl_config config = settings(root, client, 1);
    config.broker.queue = queue;
    return config;
}

static struct sl_publisher *start(uint32_t queue)
{
    const struct sl_config config = with_queue(queue);
    return start_with(&config, commands, 1);
}

static struct sl_verdict verdict(uint32_t n_defects)
{
    struct sl_verdict v = {.camera = "cam1", .part_id = "p", .result = SL_RESULT_OK};
    v.n_defects = v.defects_total = n_defects;
    v.truth_defects = -1;
    return v;
}

static void publish(struct sl_publisher *p, unsigned n)
{
    struct sl_verdict v = verdict(0);
    for (unsigned i = 0; i < n; i++) {
        assert_true(sl_publisher_verdict(p, &v) > 0);
    }
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool seen_as(const char *topic, const char *payload)
{
    const struct seen *seen = observer_find(&observer, topic);
    return seen && strcmp(seen->payload, payload) == 0;
}

// The first sequence number that has not come, 0 if all have, however often.
static uint64_t first_missing(uint64_t first, uint64_t last)
{
    g_autofree bool *came = g_new0(bool, last + 1);
    for (size_t i = 0; i < observer.n_seen; i++) {
        const char *seq = strstr(observer.seen[i].payload, "\"seq\":");
        if (seq && strcmp(observer.seen[i].topic, "plant/line/cam1/verdict") == 0) {
            came[MIN(g_ascii_strtoull(seq + 6, NULL, 10), last)] = true;
        }
    }
    while (first <= last && came[first]) {
        first++;
    }
    return first <= last ? first : 0;
}

// The highest number that has come; late ones come beside new ones.
static uint64_t newest_seq(void)
{
    uint64_t newest = 0;
    for (size_t i = 0; i < observer.n_seen; i++) {
        const char *seq = strstr(observer.seen[i].payload, "\"seq\":");
        if (seq && strcmp(observer.seen[i].topic, "plant/line/cam1/verdict") == 0) {
            newest = MAX(newest, g_ascii_strtoull(seq + 6, NULL, 10));
        }
    }
    return newest;
}

static void publishes_every_topic(void **state)
{
    (void)state;
    struct sl_publisher *p = start(100);
    assert_int_equal(sl_publisher_last_sent_ns(p), 0);
    sl_publisher_state(p, "cam1", SL_STATE_INFO, "{\"serial\":1}");
    sl_publisher_state(p, "cam1", SL_STATE_HEALTH, "{\"state\":\"good\"}");
    sl_publisher_state(p, "cam1", SL_STATE_METRICS, "{\"parts_total\":1}");
    struct sl_verdict v = verdict(3);
    assert_int_equal(sl_publisher_verdict(p, &v), 1);
    WAIT_FOR(observer_find(&observer, "plant/line/cam1/verdict/last"));
    WAIT_FOR(observer_count(&observer, "plant/line/cam1/defect") == 3);
    WAIT_FOR(seen_as("plant/line/cam1/status", "online"));
    WAIT_FOR(seen_as("plant/line/cam1/info", "{\"serial\":1}"));
    WAIT_FOR(seen_as("plant/line/cam1/health", "{\"state\":\"good\"}"));
    WAIT_FOR(seen_as("plant/line/cam1/metrics", "{\"parts_total\":1}"));
    WAIT_FOR(stats_of(p).acknowledged == 1);
    assert_int_equal(observer_count(&observer, "plant/line/cam1/verdict"), 1);
    assert_true(sl_publisher_last_sent_ns(p) > 0);
    assert_true(stats_of(p).connected);
    sl_publisher_free(p, 1000);
}

static void keeps_verdicts_until_there_is_a_broker(void **state)
{
    (void)state;
    struct sl_publisher *p = start(100);
    publish(p, 30);
    WAIT_FOR(strstr(stats_of(p).last_error, "Connection refused"));
    assert_false(stats_of(p).connected);
    assert_int_equal(stats_of(p).queued, 30);
    broker_start(&broker);
    WAIT_FOR(stats_of(p).acknowledged == 30);
    assert_int_equal(stats_of(p).reconnects, 0);
    sl_publisher_free(p, 1000);
}

static void loses_nothing_when_the_broker_is_killed(void **state)
{
    (void)state;
    struct sl_publisher *p = start(1000);
    publish(p, 100);
    WAIT_FOR(stats_of(p).acknowledged == 100);
    WAIT_FOR(observer_count(&observer, "plant/line/cam1/verdict") >= 100);
    publish(p, 200);
    broker_kill(&broker);
    publish(p, 200);
    WAIT_FOR(!stats_of(p).connected);
    broker_start(&broker);
    WAIT_FOR(stats_of(p).acknowledged == 500);
    assert_int_equal(stats_of(p).dropped, 0);
    assert_true(stats_of(p).reconnects >= 1);
    // What the old broker acknowledged and did not write before it died is its loss: only what was
    // handed over afterwards must be here.
    WAIT_FOR(first_missing(301, 500) == 0);
    WAIT_FOR(seen_as("plant/line/cam1/status", "online"));
    sl_publisher_free(p, 1000);
}

static void keeps_on_disk_what_does_not_fit_memory(void **state)
{
    (void)state;
    broker_stop(&broker);
    struct sl_publisher *p = start(100);
    for (int i = 0; i < 10; i++) {
        publish(p, 90);
        WAIT_FOR(stats_of(p).waiting == 0);
    }
    assert_int_equal(stats_of(p).dropped, 0);
    assert_int_equal(stats_of(p).queued, 900);
    sl_publisher_free(p, 100);
    WAIT_FOR(!observer.connected);
    broker_start(&broker);
    WAIT_FOR(observer.connected);
    p = start(100); // as after a restart of the daemon
    assert_int_equal(sl_publisher_verdict(p, &(struct sl_verdict){.camera = "cam1"}), 901);
    WAIT_FOR(stats_of(p).queued == 0);
    WAIT_FOR(first_missing(1, 901) == 0);
    sl_publisher_free(p, 1000);
}

static void sends_history_at_its_rate_and_news_at_once(void **state)
{
    (void)state;
    broker_stop(&broker); // which keeps the observer's subscription
    struct sl_config config = with_queue(2000);
    config.ledger.history_rate = 100;
    struct sl_publisher *p = start_with(&config, commands, 1);
    publish(p, 1000);
    WAIT_FOR(stats_of(p).waiting == 0);
    broker_start(&broker);
    WAIT_FOR(stats_of(p).connected);
    publish(p, 1);
    WAIT_FOR(newest_seq() == 1001);
    assert_true(observer_count(&observer, "plant/line/cam1/verdict") < 1000);
    sl_publisher_free(p, 0);
}

static void survives_a_broker_that_stalls(void **state)
{
    (void)state;
    struct sl_publisher *p = start(1000);
    publish(p, 1);
    WAIT_FOR(stats_of(p).acknowledged == 1);
    kill(broker.pid, SIGSTOP);
    int64_t before = now_ms();
    publish(p, 500);
    assert_true(now_ms() - before < 4000);
    for (int i = 0; i < 400 && !strstr(stats_of(p).last_error, "no acknowledgement"); i++) {
        g_usleep(100000);
    }
    assert_non_null(strstr(stats_of(p).last_error, "no acknowledgement for 5 s"));
    kill(broker.pid, SIGCONT);
    WAIT_FOR(stats_of(p).acknowledged == 501);
    WAIT_FOR(first_missing(1, 501) == 0);
    sl_publisher_free(p, 1000);
}

static void say(const char *topic, const char *payload, bool retain, mosquitto_property *with)
{
    assert_int_equal(mosquitto_publish_v5(observer.mosq, NULL, topic, (int)strlen(payload), payload,
                                          1, retain, with),
                     0);
}

static void answers_commands(void **state)
{
    (void)state;
    struct sl_publisher *p = start(100);
    WAIT_FOR(seen_as("plant/line/cam1/status", "online"));
    say("plant/line/cam1/cmd/ping", "{\"id\":1}", false, NULL);
    WAIT_FOR(seen_as("plant/line/cam1/reply/ping",
                     "{\"id\":1,\"status\":\"ok\",\"error\":null,\"data\":\"cam1\"}"));
    mosquitto_property *with = NULL;
    mosquitto_property_add_string(&with, MQTT_PROP_RESPONSE_TOPIC, "plant/line/cam1/reply/me/ping");
    mosquitto_property_add_binary(&with, MQTT_PROP_CORRELATION_DATA, "abc", 3);
    say("plant/line/cam1/cmd/ping", "{\"id\":2}", false, with);
    mosquitto_property_free_all(&with);
    WAIT_FOR(observer_find(&observer, "plant/line/cam1/reply/me/ping"));
    assert_string_equal(observer_find(&observer, "plant/line/cam1/reply/me/ping")->correlation,
                        "abc");
    say("plant/line/cam1/cmd/pong", "{\"id\":3}", false, NULL);
    WAIT_FOR(observer_find(&observer, "plant/line/cam1/reply/pong"));
    say("plant/line/cam1/cmd/ping", "", false, NULL);
    WAIT_FOR(strstr(observer_find(&observer, "plant/line/cam1/reply/ping")->payload, "error\""));
    sl_publisher_free(p, 1000);
}

// Whoever may send commands cannot make the camera publish anywhere else.
static void answers_only_below_its_own_replies(void **state)
{
    (void)state;
    static const char *const topics[] = {"answers/here", "plant/line/cam2/reply/ping",
                                         "plant/line/cam1/status", "plant/line/cam1/reply/",
                                         "plant/line/cam1/replyx/ping"};
    struct sl_publisher *p = start(100);
    WAIT_FOR(seen_as("plant/line/cam1/status", "online"));
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        mosquitto_property *with = NULL;
        mosquitto_property_add_string(&with, MQTT_PROP_RESPONSE_TOPIC, topics[i]);
        say("plant/line/cam1/cmd/ping", "{\"id\":1}", false, with);
        mosquitto_property_free_all(&with);
        WAIT_FOR(observer_count(&observer, "plant/line/cam1/reply/ping") == i + 1);
    }
    assert_null(observer_find(&observer, "answers/here"));
    assert_null(observer_find(&observer, "plant/line/cam2/reply/ping"));
    assert_true(seen_as("plant/line/cam1/status", "online"));
    sl_publisher_free(p, 1000);
}

static void answers_more_commands_than_the_window_holds(void **state)
{
    (void)state;
    struct sl_publisher *p = start(100);
    WAIT_FOR(seen_as("plant/line/cam1/status", "online"));
    for (int i = 0; i < 60; i++) {
        say("plant/line/cam1/cmd/ping", "{\"id\":1}", false, NULL);
    }
    WAIT_FOR(observer_count(&observer, "plant/line/cam1/reply/ping") == 60);
    sl_publisher_free(p, 1000);
}

static void ignores_retained_commands(void **state)
{
    (void)state;
    handled = 0;
    say("plant/line/cam1/cmd/ping", "{\"id\":\"old\"}", true, NULL);
    WAIT_FOR(observer_find(&observer, "plant/line/cam1/cmd/ping"));
    struct sl_publisher *p = start(100);
    WAIT_FOR(seen_as("plant/line/cam1/status", "online"));
    say("plant/line/cam1/cmd/ping", "{\"id\":\"stale\"}", true, NULL);
    say("plant/line/cam1/cmd/ping", "{\"id\":\"new\"}", false, NULL);
    WAIT_FOR(observer_find(&observer, "plant/line/cam1/reply/ping"));
    assert_int_equal(observer_count(&observer, "plant/line/cam1/reply/ping"), 1);
    assert_non_null(
        strstr(observer_find(&observer, "plant/line/cam1/reply/ping")->payload, "\"new\""));
    sl_publisher_free(p, 1000);
    assert_int_equal(handled, 1);
}

static bool all_are(const char *status)
{
    return seen_as("plant/line/cam1/status", status) && seen_as("plant/line/cam2/status", status) &&
           seen_as("plant/line/cam3/status", status);
}

static void says_offline_when_it_leaves(void **state)
{
    (void)state;
    struct sl_config config = with_queue(100);
    config.cameras_count = 3;
    struct sl_publisher *p = start_with(&config, commands, 1);
    WAIT_FOR(all_are("online"));
    publish(p, 40); // sent before it goes
    sl_publisher_free(p, 20000);
    WAIT_FOR(all_are("offline"));
    WAIT_FOR(observer_count(&observer, "plant/line/cam1/verdict") == 40);
}

static void is_said_offline_when_it_dies(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sl_config config = with_queue(100);
        config.cameras_count = 3;
        if (!sl_publisher_new(&config, NULL, 0, NULL, NULL)) {
            _exit(1);
        }
        for (;;) {
            pause();
        }
    }
    WAIT_FOR(all_are("online"));
    kill(child, SIGSTOP); // as if the cable were out
    WAIT_FOR(all_are("offline"));
    kill(child, SIGCONT);
    WAIT_FOR(all_are("online"));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    int64_t killed = now_ms();
    WAIT_FOR(all_are("offline"));
    assert_true(now_ms() - killed >= 2000); // the will's delay: a restart is no outage
}

// Ends one of the publisher's connections.
static void end_connection(int index)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof(peer);
        if (fd != mosquitto_socket(observer.mosq) &&
            getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
            peer.sin_port == htons(broker.port) && index-- == 0) {
            assert_int_equal(shutdown(fd, SHUT_RDWR), 0);
            return;
        }
    }
    fail_msg("no such connection");
}

static size_t onlines(void)
{
    return observer_count(&observer, "plant/line/cam1/status") +
           observer_count(&observer, "plant/line/cam2/status") +
           observer_count(&observer, "plant/line/cam3/status");
}

// A further camera is not online by a connection of its own while its verdicts have none.
static void loses_every_status_with_its_connection(void **state)
{
    (void)state;
    struct sl_config config = with_queue(100);
    config.cameras_count = 3;
    struct sl_publisher *p = start_with(&config, commands, 1);
    WAIT_FOR(all_are("online"));
    bool own = false, further = false;
    for (int i = 0; i < 30 && !(own && further); i++) {
        const uint64_t before = stats_of(p).reconnects;
        observer_forget(&observer);
        end_connection(i % 3);
        WAIT_FOR(onlines() > 0);
        if (stats_of(p).reconnects > before) { // it was the publisher's
            WAIT_FOR(all_are("online"));
            own = true;
        } else {
            assert_int_equal(onlines(), 1);
            further = true;
        }
    }
    assert_true(own && further);
    sl_publisher_free(p, 1000);
}

static void names_a_wrong_password(void **state)
{
    (void)state;
    struct sl_config config = with_queue(100);
    char wrong[128];
    broker_path(&broker, "wrong", wrong);
    config.broker.password_file = wrong;
    struct sl_publisher *p = start_with(&config, commands, 1);
    publish(p, 3);
    WAIT_FOR(strstr(stats_of(p).last_error, "refuses the connection: Not authorized (0x87)"));
    assert_false(stats_of(p).connected);
    assert_int_equal(stats_of(p).queued, 3);
    int64_t before = now_ms();
    sl_publisher_free(p, 400);
    assert_true(now_ms() - before < 10000);
    assert_null(observer_find(&observer, "plant/line/cam1/verdict"));
}

static void counts_what_the_broker_refuses(void **state)
{
    (void)state;
    struct sl_config config = with_queue(100);
    config.broker.username = limited;
    struct sl_publisher *p = start_with(&config, commands, 1);
    publish(p, 30);
    WAIT_FOR(stats_of(p).refused == 30);
    assert_int_equal(stats_of(p).acknowledged, 0);
    assert_non_null(strstr(stats_of(p).last_error, "the broker refuses a message"));
    sl_publisher_free(p, 1000);
}

static void refuses_what_cannot_work(void **state)
{
    (void)state;
    char absent[] = "/nonexistent/file", empty[] = "/dev/null";
    const struct {
        char *password_file, *ca_file;
        uint32_t cameras;
        const char *message;
    } cases[] = {
        {absent, NULL, 1, "/nonexistent/file"},
        {empty, NULL, 1, "expected one line with the password"},
        {with_queue(10).broker.password_file, absent, 1,
         "/nonexistent/file: expected a file that can be read"},
        {with_queue(10).broker.password_file, NULL, 0, "expected a camera"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_config config = with_queue(10);
        config.broker.password_file = cases[i].password_file;
        config.broker.ca_file = cases[i].ca_file;
        config.cameras_count = cases[i].cameras;
        g_autoptr(GError) error = NULL;
        assert_null(sl_publisher_new(&config, commands, 1, NULL, &error));
        assert_non_null(error);
        assert_non_null(strstr(error->message, cases[i].message));
    }
    sl_publisher_free(NULL, 0);
}

static void refuses_cameras_it_does_not_know(void **state)
{
    (void)state;
    struct sl_publisher *p = start(10);
    struct sl_verdict v = verdict(0);
    strcpy(v.camera, "cam9");
    assert_int_equal(sl_publisher_verdict(p, &v), 0);
    memset(v.camera, 'c', sizeof(v.camera));
    assert_int_equal(sl_publisher_verdict(p, &v), 0);
    sl_publisher_state(p, "cam9", SL_STATE_INFO, "{}");
    sl_publisher_state(p, "cam1", (enum sl_state_topic)9, "{}");
    assert_int_equal(stats_of(p).accepted, 0);
    sl_publisher_free(p, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(publishes_every_topic, prepare_running, clean),
        cmocka_unit_test_setup_teardown(keeps_verdicts_until_there_is_a_broker, prepare, clean),
        cmocka_unit_test_setup_teardown(loses_nothing_when_the_broker_is_killed, prepare_running,
                                        clean),
        cmocka_unit_test_setup_teardown(keeps_on_disk_what_does_not_fit_memory, prepare_running,
                                        clean),
        cmocka_unit_test_setup_teardown(sends_history_at_its_rate_and_news_at_once, prepare_running,
                                        clean),
        cmocka_unit_test_setup_teardown(survives_a_broker_that_stalls, prepare_running, clean),
        cmocka_unit_test_setup_teardown(answers_commands, prepare_running, clean),
        cmocka_unit_test_setup_teardown(answers_only_below_its_own_replies, prepare_running, clean),
        cmocka_unit_test_setup_teardown(answers_more_commands_than_the_window_holds,
                                        prepare_running, clean),
        cmocka_unit_test_setup_teardown(ignores_retained_commands, prepare_running, clean),
        cmocka_unit_test_setup_teardown(says_offline_when_it_leaves, prepare_running, clean),
        cmocka_unit_test_setup_teardown(is_said_offline_when_it_dies, prepare_running, clean),
        cmocka_unit_test_setup_teardown(loses_every_status_with_its_connection, prepare_running,
                                        clean),
        cmocka_unit_test_setup_teardown(names_a_wrong_password, prepare_running, clean),
        cmocka_unit_test_setup_teardown(counts_what_the_broker_refuses, prepare_running, clean),
        cmocka_unit_test_setup_teardown(refuses_what_cannot_work, prepare, clean),
        cmocka_unit_test_setup_teardown(refuses_cameras_it_does_not_know, prepare, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
