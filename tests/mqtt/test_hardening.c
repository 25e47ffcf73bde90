// What libmosquitto and brokers do to a client: each trap of README.md in this folder.
#include "mqtt/publishing.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "plant", client[] = "hardening";
static _Atomic int64_t clock_jump_us;

// Ours instead of GLib's for all code of this program: the wall clock jumps.
gint64 g_get_real_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000ll + now.tv_nsec / 1000 + atomic_load(&clock_jump_us);
}

static struct sl_publisher *start(void)
{
    const struct sl_config config = settings(root, client, 1);
    return start_with(&config, NULL, 0);
}

static void publish(struct sl_publisher *p, unsigned n, uint32_t defects)
{
    struct sl_verdict v = {.camera = "cam1", .part_id = "p", .result = SL_RESULT_OK};
    v.n_defects = v.defects_total = defects;
    v.truth_defects = -1;
    v.ts_utc_ms = g_get_real_time() / 1000;
    for (unsigned i = 0; i < n; i++) {
        assert_true(sl_publisher_verdict(p, &v) > 0);
    }
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    broker_path(&broker, name, path);
    unlink(path);
    assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void change_configuration(const char *more)
{
    char path[128];
    g_autofree char *text = NULL;
    broker_path(&broker, "mosquitto.conf", path);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_autofree char *longer = g_strconcat(text, more, NULL);
    write_file("mosquitto.conf", longer);
}

// 1: libmosquitto's select loop ends at descriptor 1024, its thread without a word.
static void works_with_descriptors_beyond_1024(void **state)
{
    (void)state;
    const struct rlimit many = {4096, 4096};
    if (setrlimit(RLIMIT_NOFILE, &many)) {
        skip();
    }
    int first = -1;
    for (int fd = 0; fd < 1100; fd = dup(0)) {
        first = first < 0 && fd > 2 ? fd : first;
    }
    struct sl_publisher *p = start();
    publish(p, 5, 0);
    WAIT_FOR(stats_of(p).acknowledged == 5);
    sl_publisher_free(p, 1000);
    for (int fd = first; fd <= 1101; fd++) {
        if (fd != mosquitto_socket(observer.mosq)) {
            close(fd);
        }
    }
}

// 1: a refusal under MQTT 5 ends libmosquitto's thread.
static void comes_in_once_the_broker_lets_it(void **state)
{
    (void)state;
    char users[128];
    g_autofree char *kept = NULL;
    broker_path(&broker, "passwd", users);
    assert_true(g_file_get_contents(users, &kept, NULL, NULL));
    write_file("passwd", strstr(kept, "limited:")); // a broker with no users at all lets all in
    broker_start(&broker);
    struct sl_publisher *p = start();
    publish(p, 3, 0);
    WAIT_FOR(strstr(stats_of(p).last_error, "refuses the connection: Not authorized (0x87)"));
    write_file("passwd", kept);
    kill(broker.pid, SIGHUP);
    WAIT_FOR(stats_of(p).acknowledged == 3);
    sl_publisher_free(p, 1000);
}

// Comes back at once whenever it is thrown out, as most clients do.
static struct mosquitto *rival(void)
{
    struct mosquitto *m = mosquitto_new(client, true, NULL);
    mosquitto_int_option(m, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_username_pw_set(m, "app", "secret");
    assert_int_equal(mosquitto_connect(m, "127.0.0.1", broker.port, 60), 0);
    return m;
}

// 1: so does a DISCONNECT by the broker; and two clients of one name would fight for ever.
static void says_when_another_takes_its_name(void **state)
{
    (void)state;
    struct sl_publisher *p = start();
    WAIT_FOR(stats_of(p).connected);
    assert_string_equal(stats_of(p).connection_problem, "");
    struct mosquitto *other = rival();
    const gint64 end = g_get_monotonic_time() + WAIT_MS * 1000;
    while (!stats_of(p).connection_problem[0] && g_get_monotonic_time() < end) {
        if (mosquitto_loop(other, 10, 1)) {
            mosquitto_reconnect(other);
        }
    }
    mosquitto_destroy(other);
    assert_non_null(strstr(stats_of(p).connection_problem, "under the same client_id"));
    publish(p, 3, 0);
    WAIT_FOR(stats_of(p).acknowledged == 3);
    sl_publisher_free(p, 1000);
}

// 2: under MQTT 5 libmosquitto aborts on a queued message that the broker does not take.
static void parks_what_is_too_large_once_the_limit_shrinks(void **state)
{
    (void)state;
    struct sl_publisher *p = start();
    publish(p, 1, 60);
    WAIT_FOR(stats_of(p).acknowledged == 1 && stats_of(p).queued == 0);
    broker_kill(&broker);
    publish(p, 1, 60);
    publish(p, 4, 0);
    WAIT_FOR(stats_of(p).waiting == 0);
    change_configuration("max_packet_size 2000\n");
    broker_start(&broker);
    WAIT_FOR(stats_of(p).queued == 0);
    WAIT_FOR(stats_of(p).acknowledged == 5);
    WAIT_FOR(stats_of(p).refused == 1);
    assert_non_null(strstr(stats_of(p).last_error, "larger than the broker takes"));
    sl_publisher_free(p, 1000);
}

// 3: what libmosquitto refuses with NO_CONN it has queued; sent again, it goes twice.
static void sends_once_what_came_before_the_connection(void **state)
{
    (void)state;
    broker_stop(&broker); // or the publisher could be back before the observer's subscription
    struct sl_publisher *p = start();
    publish(p, 50, 0);
    WAIT_FOR(stats_of(p).last_error[0]);
    broker_start(&broker);
    WAIT_FOR(stats_of(p).acknowledged == 50);
    WAIT_FOR(observer_count(&observer, "plant/cam1/verdict") >= 50);
    for (int i = 0; i < 30; i++) {
        pause_ms();
    }
    assert_int_equal(observer_count(&observer, "plant/cam1/verdict"), 50);
    sl_publisher_free(p, 1000);
}

static long resident_kib(void)
{
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents("/proc/self/status", &text, NULL, NULL));
    return strtol(strstr(text, "VmRSS:") + 6, NULL, 10);
}

// 4 and 5: libmosquitto's queues have no end; with QoS 0 nothing even says that they grow.
static void piles_nothing_up_for_a_broker_that_stalls(void **state)
{
    (void)state;
    struct sl_publisher *p = start();
    publish(p, 1, 0);
    WAIT_FOR(stats_of(p).acknowledged == 1);
    kill(broker.pid, SIGSTOP);
    g_autofree char *body = g_strnfill(20000, 'x');
    const long before = resident_kib();
    for (int i = 0; i < 2000; i++) { // 40 MB
        sl_publisher_state(p, "cam1", SL_STATE_METRICS, body);
        sl_publisher_state(p, "cam1", SL_STATE_HEALTH, body);
        g_usleep(200);
    }
    const long after = resident_kib();
    kill(broker.pid, SIGCONT);
#ifndef __SANITIZE_ADDRESS__ // which keeps what was freed
    if (after - before > 8192) {
        fail_msg("%ld KiB more", after - before);
    }
#endif
    (void)before;
    (void)after;
    WAIT_FOR(stats_of(p).connected);
    sl_publisher_free(p, 1000);
}

static bool is_undelayed(int fd)
{
    int on = 0;
    socklen_t size = sizeof(on);
    return getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0 && on;
}

// 8: without it an acknowledgement takes 40 ms.
static void does_not_delay_its_packets(void **state)
{
    (void)state;
    struct sl_publisher *p = start();
    WAIT_FOR(stats_of(p).connected);
    int found = 0;
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer = {0};
        socklen_t size = sizeof(peer);
        if (fd != mosquitto_socket(observer.mosq) &&
            getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
            peer.sin_port == htons(broker.port)) {
            assert_true(is_undelayed(fd));
            found++;
        }
    }
    assert_int_equal(found, 1);
    sl_publisher_free(p, 1000);
}

// 7: under MQTT 3.1.1 a broker acknowledges what it throws away, so that must be seen in health.
struct old_broker {
    int listener;
    _Atomic bool refused_5;
};

static void *serve_as_old(void *ctx)
{
    struct old_broker *old = ctx;
    for (int fd; (fd = accept4(old->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        unsigned char packet[512];
        const ssize_t n = recv(fd, packet, sizeof(packet), 0);
        const bool five = n > 8 && packet[8] == 5; // short CONNECT: one byte of length
        const unsigned char answer[] = {0x20, 2, 0, five ? 1 : 0};
        send(fd, answer, sizeof(answer), MSG_NOSIGNAL);
        if (five) {
            atomic_store(&old->refused_5, true);
            close(fd);
        }
    }
    return NULL;
}

static void falls_back_to_an_old_protocol_and_says_so(void **state)
{
    (void)state;
    struct old_broker old = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(broker.port)};
    const int on = 1;
    pthread_t thread;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(old.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(old.listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(old.listener, 5), 0);
    assert_int_equal(pthread_create(&thread, NULL, serve_as_old, &old), 0);
    struct sl_publisher *p = start();
    WAIT_FOR(stats_of(p).connected);
    assert_true(atomic_load(&old.refused_5));
    WAIT_FOR(strstr(stats_of(p).connection_problem, "only MQTT 3.1.1"));
    sl_publisher_free(p, 400);
    shutdown(old.listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(old.listener);
}

static void run(const char *const *argv)
{
    int status = -1;
    g_autofree char *err = NULL;
    assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL,
                             G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                             &err, &status, NULL));
    if (status) {
        fail_msg("%s: %s", argv[0], err);
    }
}

static void certify(const char *action, const char *folder, const char *key, const char *value)
{
    const char *argv[] = {SL_SOURCE_DIR "/deploy/mosquitto/certificates.sh",
                          action,
                          "--folder",
                          folder,
                          key,
                          value,
                          NULL};
    run(argv);
}

// A plant's authority with a certificate for the broker and one for a camera.
static void make_plant(const char *name, char folder[128])
{
    broker_path(&broker, name, folder);
    certify("ca", folder, NULL, NULL);
    certify("broker", folder, "--host", "127.0.0.1");
    certify("client", folder, "--name", "app");
}

static void use_certificates(const char *ca, const char *plant)
{
    g_autofree char *text = g_strdup_printf(
        "listener %u 127.0.0.1\nuser root\nallow_anonymous false\ncafile %s/ca.crt\n"
        "certfile %s/broker.crt\nkeyfile %s/broker.key\nrequire_certificate true\n"
        "use_identity_as_username true\n",
        broker.port, ca, plant, plant);
    write_file("mosquitto.conf", text);
}

// 1 and 12: a failure of TLS ends libmosquitto's thread; the connection must come back by itself.
static void survives_a_change_of_certificates(void **state)
{
    (void)state;
    char plant[128], other[128];
    make_plant("plant", plant);
    make_plant("other", other);
    g_autofree char *ca = g_build_filename(plant, "ca.crt", NULL);
    g_autofree char *certificate = g_build_filename(plant, "app.crt", NULL);
    g_autofree char *key = g_build_filename(plant, "app.key", NULL);
    struct sl_config config = settings(root, client, 1);
    config.broker.username = config.broker.password_file = NULL;
    config.broker.ca_file = ca;
    config.broker.certificate_file = certificate;
    config.broker.key_file = key;
    use_certificates(plant, plant);
    broker_start(&broker);
    struct sl_publisher *p = start_with(&config, NULL, 0);
    publish(p, 2, 0);
    WAIT_FOR(stats_of(p).acknowledged == 2);
    broker_kill(&broker);
    use_certificates(plant, other); // somebody else's broker
    broker_start(&broker);
    publish(p, 2, 0);
    WAIT_FOR(strstr(stats_of(p).last_error, "TLS"));
    assert_false(stats_of(p).connected);
    broker_kill(&broker);
    use_certificates(other, plant); // a broker that does not know us
    broker_start(&broker);
    WAIT_FOR(!stats_of(p).connected);
    broker_kill(&broker);
    use_certificates(plant, plant);
    broker_start(&broker);
    WAIT_FOR(stats_of(p).acknowledged == 4);
    sl_publisher_free(p, 1000);
}

static void use_shared_key(const char *users)
{
    g_autofree char *text =
        g_strdup_printf("listener %u 127.0.0.1\nuser root\nallow_anonymous false\npsk_hint plant\n"
                        "psk_file %s/psk\nuse_identity_as_username true\n",
                        broker.port, broker.folder);
    write_file("mosquitto.conf", text);
    write_file("psk", users);
}

static void speaks_tls_by_a_shared_key(void **state)
{
    (void)state;
    char key[128], identity[] = "app";
    struct sl_config config = settings(root, client, 1);
    broker_path(&broker, "key", key);
    write_file("key", "00112233445566778899aabbccddeeff\n");
    config.broker.username = config.broker.password_file = NULL;
    config.broker.psk_identity = identity;
    config.broker.psk_file = key;
    use_shared_key("app:ffeeddccbbaa99887766554433221100\n");
    broker_start(&broker);
    struct sl_publisher *p = start_with(&config, NULL, 0);
    publish(p, 2, 0);
    WAIT_FOR(stats_of(p).last_error[0]);
    assert_false(stats_of(p).connected);
    use_shared_key("app:00112233445566778899aabbccddeeff\n");
    kill(broker.pid, SIGHUP);
    WAIT_FOR(stats_of(p).acknowledged == 2);
    sl_publisher_free(p, 1000);
    write_file("key", "not hexadecimal\n");
    g_autoptr(GError) error = NULL;
    assert_null(sl_publisher_new(&config, NULL, 0, NULL, &error));
    assert_non_null(strstr(error->message, "expected a key in hexadecimal"));
}

static pid_t old_tls(const char *plant)
{
    char port[16];
    g_autofree char *certificate = g_build_filename(plant, "broker.crt", NULL);
    g_autofree char *key = g_build_filename(plant, "broker.key", NULL);
    snprintf(port, sizeof(port), "%u", broker.port);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr)) {
            execlp("openssl", "openssl", "s_server", "-accept", port, "-cert", certificate, "-key",
                   key, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-quiet", (char *)NULL);
        }
        _exit(127);
    }
    return child;
}

// 12: libmosquitto would go down to TLS 1.1.
static void refuses_old_tls(void **state)
{
    (void)state;
    char plant[128];
    make_plant("plant", plant);
    g_autofree char *ca = g_build_filename(plant, "ca.crt", NULL);
    struct sl_config config = settings(root, client, 1);
    config.broker.ca_file = ca;
    const pid_t server = old_tls(plant);
    struct sl_publisher *p = start_with(&config, NULL, 0);
    WAIT_FOR(strstr(stats_of(p).last_error, "TLS"));
    assert_false(stats_of(p).connected);
    sl_publisher_free(p, 0);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}

// 12: mosquitto_new has the whole process ignore SIGPIPE: a broker that closes must not end it.
static void outlives_a_closed_socket(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        struct sl_publisher *p = start();
        for (int i = 0; i < WAIT_MS / 10 && !stats_of(p).connected; i++) {
            g_usleep(10000);
        }
        if (!stats_of(p).connected) {
            _exit(1);
        }
        kill(broker.pid, SIGKILL);
        for (int i = 0; i < 50; i++) {
            publish(p, 10, 0);
            g_usleep(5000);
        }
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void minds_no_jump_of_the_clock(void **state)
{
    (void)state;
    static const int64_t years[] = {0, 40, -50, 0};
    struct sl_publisher *p = start();
    WAIT_FOR(stats_of(p).connected);
    for (size_t i = 0; i < G_N_ELEMENTS(years); i++) {
        atomic_store(&clock_jump_us, years[i] * 365 * G_TIME_SPAN_DAY);
        publish(p, 5, 0);
        WAIT_FOR(stats_of(p).acknowledged == 5 * (i + 1));
    }
    assert_int_equal(stats_of(p).reconnects, 0);
    assert_string_equal(stats_of(p).ledger_problem, "");
    WAIT_FOR(observer_count(&observer, "plant/cam1/verdict") == 20);
    uint64_t expected = 1;
    for (size_t i = 0; i < observer.n_seen; i++) {
        if (strcmp(observer.seen[i].topic, "plant/cam1/verdict") == 0) {
            const char *seq = strstr(observer.seen[i].payload, "\"seq\":");
            assert_int_equal(g_ascii_strtoull(seq + 6, NULL, 10), expected++);
        }
    }
    sl_publisher_free(p, 1000);
}

#define WITH_BROKER(test) cmocka_unit_test_setup_teardown(test, prepare_running, clean)
#define WITHOUT(test)     cmocka_unit_test_setup_teardown(test, prepare, clean)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITHOUT(comes_in_once_the_broker_lets_it),
        WITH_BROKER(says_when_another_takes_its_name),
        WITH_BROKER(parks_what_is_too_large_once_the_limit_shrinks),
        WITH_BROKER(sends_once_what_came_before_the_connection),
        WITH_BROKER(piles_nothing_up_for_a_broker_that_stalls),
        WITH_BROKER(does_not_delay_its_packets),
        WITHOUT(falls_back_to_an_old_protocol_and_says_so),
        WITHOUT(survives_a_change_of_certificates),
        WITHOUT(speaks_tls_by_a_shared_key),
        WITHOUT(refuses_old_tls),
        WITH_BROKER(outlives_a_closed_socket),
        WITH_BROKER(minds_no_jump_of_the_clock),
        WITH_BROKER(works_with_descriptors_beyond_1024),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
