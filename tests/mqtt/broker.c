// A private Mosquitto on a free loopback port, and a client that writes down what it sees.
#include "mqtt/broker.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <glib.h>
#include <mqtt_protocol.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int loopback(uint16_t port, struct sockaddr_in *address)
{
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

// Below those that the system gives to outgoing connections, one of which could hold the port while
// the broker is away.
static uint16_t free_port(void)
{
    for (int i = 0; i < 100; i++) {
        struct sockaddr_in address;
        int fd = loopback((uint16_t)g_random_int_range(10000, 32768), &address);
        bool free = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
        close(fd);
        if (free) {
            return ntohs(address.sin_port);
        }
    }
    fail_msg("no free port");
    return 0;
}

void broker_path(const struct broker *broker, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", broker->folder, name);
}

static void write_text(const struct broker *broker, const char *name, const char *text)
{
    char path[128];
    broker_path(broker, name, path);
    assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void add_user(const struct broker *broker, const char *user, const char *flag)
{
    char path[128];
    broker_path(broker, "passwd", path);
    const char *argv[] = {"mosquitto_passwd", flag, path, user, "secret", NULL};
    int status = -1;
    assert_true(g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                             NULL, NULL, &status, NULL));
    assert_int_equal(status, 0);
}

void broker_prepare(struct broker *broker)
{
    *broker = (struct broker){.folder = "/tmp/sl-broker-XXXXXX", .port = free_port()};
    assert_non_null(mkdtemp(broker->folder));
    write_text(broker, "password", "secret\n");
    write_text(broker, "wrong", "guess\n");
    write_text(broker, "acl",
               "user app\ntopic readwrite #\n\nuser limited\n"
               "topic write +/+/+/status\ntopic read x\n");
    write_text(broker, "passwd", "");
    add_user(broker, "app", "-b");
    add_user(broker, "limited", "-b");
    g_autofree char *text =
        g_strdup_printf("listener %u 127.0.0.1\nuser root\nallow_anonymous false\n"
                        "password_file %s/passwd\nacl_file %s/acl\nset_tcp_nodelay true\n"
                        "persistence true\npersistence_location %s/\nautosave_interval 1\n"
                        "autosave_on_changes true\nmax_queued_messages 100000\n",
                        broker->port, broker->folder, broker->folder, broker->folder);
    write_text(broker, "mosquitto.conf", text);
}

static bool accepts(uint16_t port)
{
    struct sockaddr_in address;
    int fd = loopback(port, &address);
    bool open = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return open;
}

void broker_start(struct broker *broker)
{
    char path[128];
    broker_path(broker, "mosquitto.conf", path);
    pid_t parent = getpid();
    broker->pid = fork();
    assert_true(broker->pid >= 0);
    if (broker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent && freopen("/dev/null", "w", stderr)) {
            execlp("mosquitto", "mosquitto", "-c", path, (char *)NULL);
            execl("/usr/sbin/mosquitto", "mosquitto", "-c", path, (char *)NULL);
        }
        _exit(127);
    }
    for (int i = 0; i < 3000 && !accepts(broker->port); i++) {
        assert_int_equal(waitpid(broker->pid, NULL, WNOHANG), 0);
        g_usleep(10000);
    }
    assert_true(accepts(broker->port));
}

static void end_broker(struct broker *broker, int signal)
{
    if (broker->pid) {
        kill(broker->pid, signal);
        waitpid(broker->pid, NULL, 0);
        broker->pid = 0;
    }
}

void broker_kill(struct broker *broker)
{
    end_broker(broker, SIGKILL);
}

void broker_stop(struct broker *broker)
{
    end_broker(broker, SIGTERM);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void broker_remove(struct broker *broker)
{
    broker_kill(broker);
    nftw(broker->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_connect(struct mosquitto *mosq, void *ctx, int rc)
{
    struct observer *o = ctx;
    o->connected = rc == 0;
    mosquitto_subscribe(mosq, NULL, "#", 1);
}

static void on_subscribe(struct mosquitto *mosq, void *ctx, int mid, int n, const int *granted)
{
    (void)mosq;
    (void)mid;
    (void)n;
    (void)granted;
    struct observer *o = ctx;
    o->subscribed = true;
}

static void on_message(struct mosquitto *mosq, void *ctx, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    (void)mosq;
    struct observer *o = ctx;
    void *data = NULL;
    uint16_t size = 0;
    mosquitto_property_read_binary(properties, MQTT_PROP_CORRELATION_DATA, &data, &size, false);
    o->seen = g_renew(struct seen, o->seen, o->n_seen + 1);
    o->seen[o->n_seen++] = (struct seen){
        .topic = g_strdup(m->topic),
        .payload = g_strndup(m->payload ? m->payload : "", (gsize)m->payloadlen),
        .correlation = data ? g_strndup(data, size) : NULL,
        .retain = m->retain,
    };
    free(data);
}

static void connect_observer(struct observer *o)
{
    mosquitto_property *properties = NULL;
    mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL, 600);
    mosquitto_connect_bind_v5(o->mosq, "127.0.0.1", o->broker->port, 60, NULL, properties);
    mosquitto_property_free_all(&properties);
}

void observer_start(struct observer *o, struct broker *broker)
{
    *o = (struct observer){.broker = broker};
    mosquitto_lib_init();
    o->mosq = mosquitto_new("observer", false, o);
    assert_non_null(o->mosq);
    mosquitto_int_option(o->mosq, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(o->mosq, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_username_pw_set(o->mosq, "app", "secret");
    mosquitto_connect_callback_set(o->mosq, on_connect);
    mosquitto_subscribe_callback_set(o->mosq, on_subscribe);
    mosquitto_message_v5_callback_set(o->mosq, on_message);
    connect_observer(o);
    for (int i = 0; i < 3000 && !o->subscribed; i++) {
        observer_poll(o, 10);
    }
    assert_true(o->subscribed);
}

void observer_poll(struct observer *o, int ms)
{
    if (mosquitto_loop(o->mosq, ms, 1) != MOSQ_ERR_SUCCESS) {
        o->connected = false;
        g_usleep(10000);
        connect_observer(o);
    }
}

void observer_forget(struct observer *o)
{
    for (size_t i = 0; i < o->n_seen; i++) {
        g_free(o->seen[i].topic);
        g_free(o->seen[i].payload);
        g_free(o->seen[i].correlation);
    }
    g_free(o->seen);
    o->seen = NULL;
    o->n_seen = 0;
}

void observer_stop(struct observer *o)
{
    mosquitto_destroy(o->mosq);
    observer_forget(o);
    mosquitto_lib_cleanup();
}

const struct seen *observer_find(const struct observer *o, const char *topic)
{
    for (size_t i = o->n_seen; i > 0; i--) {
        if (strcmp(o->seen[i - 1].topic, topic) == 0) {
            return &o->seen[i - 1];
        }
    }
    return NULL;
}

size_t observer_count(const struct observer *o, const char *topic)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_seen; i++) {
        n += strcmp(o->seen[i].topic, topic) == 0;
    }
    return n;
}
