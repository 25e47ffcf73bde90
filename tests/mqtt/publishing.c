// A publisher beside a broker and an observer of one test: fixtures, and waiting for it.
#include "mqtt/publishing.h"

struct broker broker;
struct observer observer;

static char password[128], ledger[128];

int prepare(void **state)
{
    (void)state;
    broker_prepare(&broker);
    broker_path(&broker, "password", password);
    broker_path(&broker, "ledger", ledger);
    observer = (struct observer){0};
    return 0;
}

int prepare_running(void **state)
{
    prepare(state);
    broker_start(&broker);
    observer_start(&observer, &broker);
    return 0;
}

int clean(void **state)
{
    (void)state;
    if (observer.mosq) {
        observer_stop(&observer);
    }
    broker_remove(&broker);
    return 0;
}

struct sl_config settings(char *root, char *client_id, uint32_t n)
{
    static char host[] = "127.0.0.1", app[] = "app", cam1[] = "cam1", cam2[] = "cam2";
    static char cam3[] = "cam3";
    static struct sl_config_camera sections[] = {{.name = cam1}, {.name = cam2}, {.name = cam3}};
    return (struct sl_config){
        .broker = {.host = host,
                   .port = broker.port,
                   .username = app,
                   .password_file = password,
                   .root = root,
                   .client_id = client_id,
                   .keepalive_s = 5,
                   .queue = 1000},
        .ledger = {.path = ledger, .max_mb = 16, .max_records = 100000, .history_rate = 10000},
        .cameras = sections,
        .cameras_count = n,
        .metrics_interval_s = 10,
    };
}

struct sl_publisher *start_with(const struct sl_config *config, const struct sl_command *commands,
                                size_t n_commands)
{
    GError *error = NULL;
    struct sl_publisher *p = sl_publisher_new(config, commands, n_commands, NULL, &error);
    if (error) {
        fail_msg("%s", error->message);
    }
    assert_non_null(p);
    return p;
}

struct sl_publisher_stats stats_of(struct sl_publisher *p)
{
    struct sl_publisher_stats stats;
    sl_publisher_stats(p, &stats);
    assert_true(stats.accepted <=
                stats.acknowledged + stats.dropped + stats.refused + stats.queued);
    return stats;
}

void pause_ms(void)
{
    if (observer.mosq) {
        observer_poll(&observer, 10);
    } else {
        g_usleep(10000);
    }
}
