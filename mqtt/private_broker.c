// A Mosquitto of one's own on a loopback port.
#include "mqtt/private_broker.h"

#include <glib/gstdio.h>
#include <mqtt_protocol.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ATTEMPTS  100
#define PAUSE_US  50000
#define ANSWER_S  20
#define SESSION_S 86400

static bool is_free(int port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return bound;
}

// A port that was free a moment ago, below those that the system gives to outgoing connections: one
// of them could hold it while the broker is away.
static int free_port(void)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        const int port = g_random_int_range(10000, 32768);
        if (is_free(port)) {
            return port;
        }
    }
    return -1;
}

static bool write_text(const struct sl_private_broker *b, const char *name, const char *text,
                       GError **error)
{
    g_autofree char *path = g_build_filename(b->folder, name, NULL);
    return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, error);
}

#define QUIET (G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL)

static bool run(char **argv, GError **error)
{
    int status = 0;
    return g_spawn_sync(NULL, argv, NULL, QUIET, NULL, NULL, NULL, NULL, &status, error) &&
           g_spawn_check_wait_status(status, error);
}

bool sl_private_broker_prepare(struct sl_private_broker *b, const char *folder, bool persistent,
                               GError **error)
{
    *b = (struct sl_private_broker){.folder = folder, .port = free_port()};
    g_snprintf(b->password, sizeof(b->password), "%08x%08x", g_random_int(), g_random_int());
    // Mosquitto lies where users' paths do not lead.
    const char *path = g_getenv("PATH");
    g_autofree char *longer = g_strconcat(path ? path : "", ":/usr/sbin", NULL);
    g_setenv("PATH", longer, TRUE);
    g_autofree char *users = g_build_filename(folder, "users", NULL);
    const char *on_changes = persistent ? "true" : "false";
    g_autofree char *text =
        g_strdup_printf("listener %d 127.0.0.1\nallow_anonymous false\npassword_file %s\n"
                        "set_tcp_nodelay true\nmax_queued_messages 1000000\nuser %s\n"
                        "persistence true\npersistence_location %s/\nautosave_on_changes %s\n"
                        "autosave_interval %d\n",
                        b->port, users, g_get_user_name(), folder, on_changes,
                        persistent); // 0: it saves only when it ends
    char passwd[] = "mosquitto_passwd", batch[] = "-b", user[] = SL_PRIVATE_BROKER_USER;
    char *hash[] = {passwd, batch, users, user, b->password, NULL};
    return write_text(b, "users", "", error) && write_text(b, "password", b->password, error) &&
           write_text(b, "mosquitto.conf", text, error) && run(hash, error);
}

bool sl_private_broker_start(struct sl_private_broker *b, GError **error)
{
    g_autofree char *file = g_build_filename(b->folder, "mosquitto.conf", NULL);
    char mosquitto[] = "mosquitto", config[] = "-c";
    char *argv[] = {mosquitto, config, file, NULL};
    return g_spawn_async(NULL, argv, NULL, QUIET | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &b->pid,
                         error);
}

void sl_private_broker_stop(struct sl_private_broker *b, int signal)
{
    if (b->pid > 0) {
        kill(b->pid, signal);
        waitpid(b->pid, NULL, 0);
        b->pid = 0;
    }
}

void sl_private_broker_remove(struct sl_private_broker *b)
{
    static const char *const names[] = {"users", "mosquitto.conf", "password", "mosquitto.db"};
    for (size_t i = 0; b->folder && i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(b->folder, names[i], NULL);
        g_unlink(path);
    }
}

static bool fail(const struct sl_private_broker *b, GError **error)
{
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "the broker on port %d does not answer",
                b->port);
    return false;
}

bool sl_private_broker_resume(const struct sl_private_broker *b, struct mosquitto *client,
                              GError **error)
{
    int status = mosquitto_reconnect(client);
    for (int i = 1; i < ATTEMPTS && status; i++) {
        g_usleep(PAUSE_US);
        status = mosquitto_reconnect(client);
    }
    return status == 0 || fail(b, error);
}

static bool connect_first(const struct sl_private_broker *b, struct mosquitto *client,
                          GError **error)
{
    mosquitto_property *session = NULL; // kept by the client for every further connection
    mosquitto_property_add_int32(&session, MQTT_PROP_SESSION_EXPIRY_INTERVAL, SESSION_S);
    const int status = mosquitto_connect_bind_v5(client, "127.0.0.1", b->port, 30, NULL, session);
    mosquitto_property_free_all(&session);
    return status == 0 || sl_private_broker_resume(b, client, error);
}

static void on_subscribe(struct mosquitto *client, void *ctx, int mid, int n, const int *granted)
{
    (void)client;
    (void)mid;
    *(bool *)ctx = n == 1 && granted[0] < 0x80;
}

// What is published before the broker has answered may miss the subscriber.
static bool await_answer(const struct sl_private_broker *b, struct mosquitto *client,
                         const bool *subscribed, GError **error)
{
    const gint64 end = g_get_monotonic_time() + ANSWER_S * G_TIME_SPAN_SECOND;
    while (!*subscribed && g_get_monotonic_time() < end) {
        if (mosquitto_loop(client, 20, 1)) {
            break;
        }
    }
    return *subscribed || fail(b, error);
}

struct mosquitto *sl_private_broker_subscribe(const struct sl_private_broker *b, const char *filter,
                                              int qos,
                                              void (*message)(struct mosquitto *, void *,
                                                              const struct mosquitto_message *,
                                                              const mosquitto_property *),
                                              void *ctx, GError **error)
{
    bool subscribed = false;
    struct mosquitto *client = mosquitto_new("subscriber", false, &subscribed);
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_username_pw_set(client, SL_PRIVATE_BROKER_USER, b->password);
    if (!connect_first(b, client, error) ||
        (mosquitto_subscribe(client, NULL, filter, qos) && !fail(b, error)) ||
        !await_answer(b, client, &subscribed, error)) {
        mosquitto_destroy(client);
        return NULL;
    }
    mosquitto_subscribe_callback_set(client, NULL);
    mosquitto_user_data_set(client, ctx);
    mosquitto_message_v5_callback_set(client, message);
    return client;
}
