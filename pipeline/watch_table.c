// The table of `sightline watch`.
#include "pipeline/watch_table.h"

#include "pipeline/listen.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

// Copies at most `width` characters (not bytes) of clean UTF-8 and fills up with spaces.
static void column(const char *text, unsigned width, char *out, size_t size)
{
    size_t used = 0;
    unsigned shown = 0;
    for (; *text && used + width - shown + 4 < size; text++) {
        const bool starts = ((unsigned char)*text & 0xc0) != 0x80;
        if (starts && shown == width)
            break;
        shown += starts;
        out[used++] = *text;
    }
    for (; shown < width && used + 1 < size; shown++)
        out[used++] = ' ';
    out[used] = '\0';
}

static struct watch_camera *camera_of(struct watch_table *table, const char *name)
{
    for (unsigned i = 0; i < table->n_cameras; i++)
        if (!strcmp(table->cameras[i].name, name))
            return &table->cameras[i];
    if (table->n_cameras == WATCH_CAMERAS)
        return NULL;
    struct watch_camera *camera = &table->cameras[table->n_cameras++];
    snprintf(camera->name, sizeof(camera->name), "%s", name);
    snprintf(camera->health, sizeof(camera->health), "unknown");
    return camera;
}

static void text_of(const cJSON *item, char *out, size_t size)
{
    listen_clean(cJSON_IsString(item) ? item->valuestring : "", out, size);
}

static void member(const cJSON *json, const char *key, char *out, size_t size)
{
    text_of(cJSON_GetObjectItemCaseSensitive(json, key), out, size);
}

// As many whole reasons as fit.
static void join_reasons(const cJSON *json, char *out, size_t size)
{
    const cJSON *item;
    size_t used = 0;
    out[0] = '\0';
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "reasons"))
    {
        char reason[100];
        text_of(item, reason, sizeof(reason));
        const size_t length = strlen(reason) + (used ? 2 : 0);
        if (length >= size - used)
            return;
        snprintf(out + used, size - used, "%s%s", used ? ", " : "", reason);
        used += length;
    }
}

static double latency_of(const cJSON *json)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, "latency_ms");
    const double value = cJSON_IsNumber(item) ? item->valuedouble : 0;
    return fmin(fmax(value, 0), 999999); // keeps the columns
}

static void add_verdict(struct watch_table *table, const char *name, const cJSON *json,
                        char line[WATCH_LINE])
{
    char result[8], part[80], reasons[160], columns[2][100];
    struct watch_camera *camera = camera_of(table, name);
    const double latency_ms = latency_of(json);
    const char *shown = "?";
    member(json, "result", result, sizeof(result));
    member(json, "part_id", part, sizeof(part));
    join_reasons(json, reasons, sizeof(reasons));
    const bool ok = !strcmp(result, "ok"), ng = !strcmp(result, "ng");
    const bool error = !strcmp(result, "error");
    if (ok || ng || error)
        shown = ok ? "OK" : ng ? "NG" : "ERROR";
    else
        snprintf(reasons, sizeof(reasons), "not a verdict");
    if (camera) {
        camera->parts += ok || ng || error;
        camera->ok += ok;
        camera->ng += ng;
        camera->error += error;
        camera->latency_ms = latency_ms;
    }
    column(name, 12, columns[0], sizeof(columns[0]));
    column(part, 20, columns[1], sizeof(columns[1]));
    snprintf(line, WATCH_LINE, "%s %s %-5s %6.1f ms%s%s", columns[0], columns[1], shown, latency_ms,
             reasons[0] ? "  " : "", reasons);
    memcpy(table->lines[table->n_lines++ % WATCH_LINES], line, WATCH_LINE);
}

static void set_health(struct watch_camera *camera, const cJSON *json)
{
    member(json, "state", camera->health, sizeof(camera->health));
    if (!camera->health[0])
        snprintf(camera->health, sizeof(camera->health), "unknown");
    join_reasons(json, camera->reasons, sizeof(camera->reasons));
}

bool watch_table_take(struct watch_table *table, const char *camera, const char *leaf,
                      const char *payload, size_t size, char line[WATCH_LINE])
{
    char name[64];
    const bool verdict = !strcmp(leaf, "verdict"), health = !strcmp(leaf, "health");
    // A camera that has said nothing else is worth a row when it goes.
    const bool offline = !strcmp(leaf, "status") && !strcmp(payload, "offline");
    listen_clean(camera, name, sizeof(name));
    cJSON *json = verdict || health ? cJSON_ParseWithLength(payload, size) : NULL;
    if (verdict)
        add_verdict(table, name, json, line);
    struct watch_camera *row = health || offline ? camera_of(table, name) : NULL;
    if (row && health)
        set_health(row, json);
    if (row && offline) {
        snprintf(row->health, sizeof(row->health), "offline");
        row->reasons[0] = '\0';
    }
    cJSON_Delete(json);
    return verdict;
}

void watch_table_print(const struct watch_table *table, FILE *out)
{
    fprintf(out, "%-12s %8s %8s %8s %8s %10s  %s\n", "camera", "parts", "OK", "NG", "ERROR",
            "latency", "health");
    for (unsigned i = 0; i < table->n_cameras; i++) {
        const struct watch_camera *c = &table->cameras[i];
        char name[100];
        column(c->name, 12, name, sizeof(name));
        fprintf(out, "%s %8lu %8lu %8lu %8lu %7.1f ms  %s%s%s\n", name, c->parts, c->ok, c->ng,
                c->error, c->latency_ms, c->health, c->reasons[0] ? " " : "", c->reasons);
    }
    fprintf(out, "\n");
    const unsigned long shown = table->n_lines < WATCH_LINES ? table->n_lines : WATCH_LINES;
    for (unsigned long i = 1; i <= shown; i++)
        fprintf(out, "%s\n", table->lines[(table->n_lines - i) % WATCH_LINES]);
}
