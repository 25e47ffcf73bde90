// A daemon without cameras, to be killed: hands over verdicts at a rate until the camera's number
// N, waits until the broker has them all, and prints what it counted.
//
// Every part has a name of its own, and JUDGED gets a line "SEQ PART" for each once it is handed
// over.
//
// storm_source PORT PASSWORD_FILE LEDGER N RATE MAX_MB JUDGED
#include "mqtt/publisher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct sl_publisher *start(char **argv)
{
    static char host[] = "127.0.0.1", user[] = "app", root[] = "storm", client[] = "storm-source";
    static char name[] = "cam1";
    static struct sl_config_camera camera = {.name = name};
    const struct sl_config config = {
        .broker = {.host = host,
                   .port = (uint16_t)atoi(argv[1]),
                   .username = user,
                   .password_file = argv[2],
                   .root = root,
                   .client_id = client,
                   .keepalive_s = 5,
                   .queue = 1000},
        .ledger = {.path = argv[3],
                   .max_mb = (uint32_t)atoi(argv[6]),
                   .max_records = 10000000,
                   .history_rate = 100000},
        .cameras = &camera,
        .cameras_count = 1,
        .metrics_interval_s = 10,
    };
    g_autoptr(GError) error = NULL;
    struct sl_publisher *p = sl_publisher_new(&config, NULL, 0, NULL, &error);
    if (!p) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return p;
}

// Whether disk and broker have about caught up: so verdicts are judged during the whole storm.
static bool may_go_on(struct sl_publisher *p, struct sl_publisher_stats *stats, bool impatient)
{
    sl_publisher_stats(p, stats);
    return impatient || (stats->waiting < 500 && stats->queued < 2000);
}

int main(int argc, char **argv)
{
    const int judged = argc == 8 ? open(argv[7], O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (judged < 0) {
        return 2;
    }
    signal(SIGXFSZ, SIG_IGN);
    struct sl_publisher *p = start(argv);
    struct sl_publisher_stats stats;
    const uint64_t n = g_ascii_strtoull(argv[4], NULL, 10);
    const double rate = atof(argv[5]);
    const bool impatient = rate < 1000; // a real line does not wait
    const gint64 begin = g_get_monotonic_time();
    gint64 longest = 0;
    uint64_t done = 0, seq = 0;
    while (seq < n) {
        struct sl_verdict v = {.camera = "cam1", .result = SL_RESULT_OK};
        g_snprintf(v.part_id, sizeof(v.part_id), "%d-%lu", getpid(), done);
        const gint64 before = g_get_monotonic_time();
        if (!may_go_on(p, &stats, impatient) ||
            (double)(before - begin) * rate < (double)done * 1e6) {
            g_usleep(1000);
            continue;
        }
        seq = sl_publisher_verdict(p, &v);
        longest = MAX(longest, g_get_monotonic_time() - before);
        dprintf(judged, "%lu %s\n", seq, v.part_id);
        done++;
    }
    fprintf(stderr, "judged\n");
    do {
        g_usleep(10000);
        sl_publisher_stats(p, &stats);
    } while (stats.queued > 0);
    sl_publisher_free(p, 2000);
    printf("{\"accepted\":%lu,\"dropped\":%lu,\"longest_us\":%ld,\"bytes\":%lu}\n", stats.accepted,
           stats.dropped, (long)longest, stats.ledger_bytes);
    return 0;
}
