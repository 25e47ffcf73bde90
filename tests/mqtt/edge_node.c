// A daemon without cameras that does as it is told on its standard input, one word after another:
//   verdict CAMERA ok|ng|error PART    health CAMERA ok|lost|starting good|degraded|fault
//   info CAMERA MODEL                  stop
// and prints "trigger CAMERA" when it is triggered.
//
// edge_node PORT PASSWORD_FILE FOLDER GROUP NODE [PRIMARY_HOST]
#include "mqtt/publisher.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int on_trigger(void *ctx, const char *camera, const cJSON *arguments, cJSON **data,
                      char *message, size_t size)
{
    (void)ctx;
    (void)arguments;
    (void)data;
    (void)message;
    (void)size;
    printf("trigger %s\n", camera);
    fflush(stdout);
    return 0;
}

static const struct sl_command commands[] = {{"trigger", "judge", NULL, on_trigger, true}};

static struct sl_publisher *start(int argc, char **argv)
{
    static char host[] = "127.0.0.1", user[] = "app", root[] = "edge", client[] = "edge-node";
    static char one[] = "cam1", two[] = "cam2";
    static struct sl_config_camera cameras[] = {{.name = one}, {.name = two}};
    struct sl_config_sparkplug sparkplug = {argv[4], argv[5], argc > 6 ? argv[6] : NULL};
    const struct sl_config config = {
        .broker = {.host = host,
                   .port = (uint16_t)atoi(argv[1]),
                   .username = user,
                   .password_file = argv[2],
                   .root = root,
                   .client_id = client,
                   .sparkplug = &sparkplug,
                   .keepalive_s = 5,
                   .queue = 1000},
        .ledger = {.path = argv[3], .max_mb = 64, .max_records = 100000, .history_rate = 200},
        .cameras = cameras,
        .cameras_count = 2,
        .metrics_interval_s = 10,
    };
    g_autoptr(GError) error = NULL;
    struct sl_publisher *p = sl_publisher_new(&config, commands, 1, NULL, &error);
    if (!p) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return p;
}

static void judge(struct sl_publisher *p, const char *camera, const char *result, const char *part)
{
    struct sl_verdict v = {.ts_utc_ms = g_get_real_time() / 1000, .truth_defects = -1};
    g_strlcpy(v.camera, camera, sizeof(v.camera));
    g_strlcpy(v.part_id, part, sizeof(v.part_id));
    v.result = strcmp(result, "ok") == 0   ? SL_RESULT_OK
               : strcmp(result, "ng") == 0 ? SL_RESULT_NG
                                           : SL_RESULT_ERROR;
    sl_publisher_verdict(p, &v);
}

static bool obey(struct sl_publisher *p, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    const guint n = g_strv_length(words);
    if (n == 4 && strcmp(words[0], "verdict") == 0) {
        judge(p, words[1], words[2], words[3]);
    } else if (n == 4 && strcmp(words[0], "health") == 0) {
        g_autofree char *json =
            g_strdup_printf("{\"state\":\"%s\",\"camera\":{\"state\":\"%s\"}}", words[3], words[2]);
        sl_publisher_state(p, words[1], SL_STATE_HEALTH, json);
    } else if (n == 3 && strcmp(words[0], "info") == 0) {
        g_autofree char *json = g_strdup_printf("{\"model\":{\"id\":\"%s\"}}", words[2]);
        sl_publisher_state(p, words[1], SL_STATE_INFO, json);
    }
    return strcmp(line, "stop") != 0;
}

int main(int argc, char **argv)
{
    char line[256];
    if (argc < 6) {
        return 2;
    }
    struct sl_publisher *p = start(argc, argv);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) && obey(p, g_strchomp(line))) {
    }
    sl_publisher_free(p, 2000);
    return 0;
}
