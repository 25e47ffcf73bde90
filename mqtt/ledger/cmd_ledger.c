// `sightline ledger`: look at the ledger, take it elsewhere, check it, send parts of it again.
// A program of its own, so that the dispatcher needs no SQLite.
#include "config/camera.h"
#include "mqtt/ledger/evidence.h"
#include "mqtt/ledger/store.h"
#include "mqtt/verdict.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KEY_SINCE = 512,
    KEY_UNTIL,
    KEY_PART,
    KEY_CLASS,
    KEY_RESULT,
    KEY_CAMERA,
    KEY_FORMAT,
    KEY_PICTURES
};

struct options {
    const char *action, *folder, *config;
    const char *camera, *part, *class_name, *format;
    const char *pictures; // where copies go; NULL: nowhere
    char *folder_found;
    unsigned copied, missing;
    bool copy_failed;
    int64_t since_ms, until_ms, limit;
    int result, kind; // 0: any
    bool json;
};

static const struct argp_option rows[] = {
    {"ledger", 'l', "DIR", 0, "The ledger's directory", 0},
    {"config", 'c', "FILE", 0, "Configuration that names it (default /etc/sightline/camera.yaml)",
     0},
    {"since", KEY_SINCE, "TIME", 0,
     "From this time on: 2026-01-31, 2026-01-31T08:00:00Z, or -90m, -8h, -2d", 1},
    {"until", KEY_UNTIL, "TIME", 0, "Before this time", 1},
    {"camera", KEY_CAMERA, "NAME", 0, "Of this camera", 1},
    {"part", KEY_PART, "ID", 0, "Of this part", 1},
    {"class", KEY_CLASS, "NAME", 0, "With a defect of this class", 1},
    {"result", KEY_RESULT, "RESULT", 0, "ok, ng or error", 1},
    {"limit", 'n', "N", 0, "The newest N (list: default 20)", 1},
    {"format", KEY_FORMAT, "FORMAT", 0, "export: json (a record per line, default) or csv", 2},
    {"pictures", KEY_PICTURES, "DIR", 0, "export: copy the pictures of these records to DIR", 2},
    {"json", 'j', NULL, 0, "list, verify, replay: print JSON", 2},
    {0},
};

static bool parse_time(const char *text, int64_t *out)
{
    char *end = NULL;
    if (text[0] == '-') {
        const double number = g_ascii_strtod(text + 1, &end);
        const double unit = !strcmp(end, "s")   ? 1
                            : !strcmp(end, "m") ? 60
                            : !strcmp(end, "h") ? 3600
                            : !strcmp(end, "d") ? 86400
                                                : 0;
        *out = g_get_real_time() / 1000 - (int64_t)(number * unit * 1000);
        return end > text + 1 && unit > 0 && number >= 0 && number < 1e6;
    }
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autofree char *day = g_strconcat(text, "T00:00:00", NULL);
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(strchr(text, 'T') ? text : day, utc);
    if (time) {
        *out = g_date_time_to_unix(time) * 1000 + g_date_time_get_microsecond(time) / 1000;
    }
    return time != NULL;
}

static int parse_result(const char *text)
{
    static const char *const names[] = {"", "ok", "ng", "error"};
    for (int i = SL_RESULT_OK; i <= SL_RESULT_ERROR; i++) {
        if (strcmp(text, names[i]) == 0) {
            return i;
        }
    }
    return 0;
}

static void parse_filter(int key, const char *text, struct options *o, struct argp_state *state)
{
    if (key == KEY_SINCE && !parse_time(text, &o->since_ms)) {
        argp_error(state,
                   "--since: expected a time such as 2026-01-31T08:00:00Z or -8h, found '%s'",
                   text);
    }
    if (key == KEY_UNTIL && !parse_time(text, &o->until_ms)) {
        argp_error(state,
                   "--until: expected a time such as 2026-01-31T08:00:00Z or -8h, found '%s'",
                   text);
    }
    if (key == KEY_RESULT && !(o->result = parse_result(text))) {
        argp_error(state, "--result: expected ok, ng or error, found '%s'", text);
    }
    char *end = NULL;
    if (key == 'n' && ((o->limit = strtoll(text, &end, 10)) < 1 || *end)) {
        argp_error(state, "--limit: expected a number above 0, found '%s'", text);
    }
    if (key == KEY_FORMAT && strcmp(text, "json") && strcmp(text, "csv")) {
        argp_error(state, "--format: expected json or csv, found '%s'", text);
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'l':
        o->folder = text;
        return 0;
    case 'c':
        o->config = text;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case KEY_CAMERA:
        o->camera = text;
        return 0;
    case KEY_PART:
        o->part = text;
        return 0;
    case KEY_CLASS:
        o->class_name = text;
        return 0;
    case KEY_PICTURES:
        o->pictures = text;
        return 0;
    case KEY_FORMAT:
        o->format = text;
        // fall through
    case KEY_SINCE:
    case KEY_UNTIL:
    case KEY_RESULT:
    case 'n':
        parse_filter(key, text, o, state);
        return 0;
    case ARGP_KEY_ARG:
        if (o->action) {
            argp_error(state, "unexpected argument '%s'", text);
        }
        o->action = text;
        return 0;
    case ARGP_KEY_END:
        if (!o->action) {
            argp_error(state, "say what to do: list, export, verify or replay");
        }
        if (o->pictures && strcmp(o->action, "export")) {
            argp_error(state, "--pictures: only with export");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int complain(const char *text)
{
    fprintf(stderr, "sightline ledger: %s\n", text);
    return 1;
}

static char *find_folder(const struct options *o)
{
    struct sl_config *config = NULL;
    struct sl_yaml_error problem = {""};
    if (o->folder) {
        return g_strdup(o->folder);
    }
    if (sl_config_load(o->config, &config, &problem)) {
        complain(problem.message);
        return NULL;
    }
    char *folder = g_strdup(config->ledger.path);
    sl_config_free(config);
    return folder;
}

static sqlite3 *open_ledger(const char *folder, bool write)
{
    g_autofree char *path = g_build_filename(folder, STORE_FILE, NULL);
    sqlite3 *db = NULL;
    if (access(path, R_OK)) {
        fprintf(stderr, "sightline ledger: %s: expected a ledger that can be read\n", path);
        return NULL;
    }
    // Not read-only if that can be helped: reading a WAL whose writer is gone needs its index.
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);
    if (!write && (code || sqlite3_db_readonly(db, "main") == 1)) {
        sqlite3_close(db);
        code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
    }
    sqlite3_busy_timeout(db, 5000);
    sqlite3_stmt *q = NULL;
    const bool known = !code && !sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL) &&
                       sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0) == 1;
    sqlite3_finalize(q);
    if (!known) {
        fprintf(stderr, "sightline ledger: %s: expected a ledger of version 1: %s\n", path,
                sqlite3_errmsg(db));
        sqlite3_close(db);
        return NULL;
    }
    return db;
}

#define WHERE                                                                                      \
    " ts >= ?1 AND ts < ?2 AND (?3 IS NULL OR camera = ?3) AND (?4 IS NULL OR part = ?4)"          \
    " AND (?5 IS NULL OR instr(classes, ',' || ?5 || ',')) AND (?6 = 0 OR result = ?6)"            \
    " AND (?7 = 0 OR kind = ?7)"

static sqlite3_stmt *query(sqlite3 *db, const char *sql, const struct options *o)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL)) {
        complain(sqlite3_errmsg(db));
        return NULL;
    }
    sqlite3_bind_int64(q, 1, o->since_ms);
    sqlite3_bind_int64(q, 2, o->until_ms);
    sqlite3_bind_text(q, 3, o->camera, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 4, o->part, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 5, o->class_name, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 6, o->result);
    sqlite3_bind_int(q, 7, o->kind);
    if (sqlite3_bind_parameter_count(q) > 7) {
        sqlite3_bind_int64(q, 8, o->limit);
    }
    return q;
}

static const char *result_name(uint32_t result, uint32_t kind)
{
    static const char *const names[] = {"", "OK", "NG", "ERROR"};
    return kind == STORE_GAP           ? "gap"
           : kind == STORE_FEEDBACK    ? "feedback"
           : kind == STORE_ALARM       ? "alarm"
           : result <= SL_RESULT_ERROR ? names[result]
                                       : "?";
}

static const char *state_name(uint32_t state)
{
    return state == STORE_SENT ? "sent" : state == STORE_PARKED ? "parked" : "pending";
}

static char *time_text(int64_t ms)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(ms / 1000);
    return time ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : g_strdup("?");
}

// Classes without the commas around them; what a terminal must not see becomes '?'.
static char *clean(const char *text, bool classes)
{
    g_autofree char *valid = g_utf8_make_valid(text ? text : "", -1);
    GString *out = g_string_new(NULL);
    for (char *s = valid; *s; s = g_utf8_next_char(s)) {
        const gunichar c = g_utf8_get_char(s);
        g_string_append_unichar(out, g_unichar_isprint(c) ? c : '?');
    }
    if (classes && out->len >= 2) {
        g_string_truncate(out, out->len - 1);
        g_string_erase(out, 0, 1);
    }
    return g_string_free(out, FALSE);
}

static void print_line(const struct store_row *row)
{
    g_autofree char *when = time_text(row->ts_ms), *part = clean(row->part, false);
    g_autofree char *classes = clean(row->classes, true), *camera = clean(row->camera, false);
    printf("%-8" G_GINT64_FORMAT " %s  %-12s %8" G_GUINT64_FORMAT " %-20s %-8s %-7s %s\n", row->id,
           when, camera, row->seq, part, result_name(row->result, row->kind),
           state_name(row->state), classes);
}

static void print_json(const struct store_row *row)
{
    static const char *const kinds[] = {"?", "verdict", "gap", "feedback", "alarm"};
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "id", (double)row->id);
    cJSON_AddStringToObject(json, "kind", kinds[row->kind <= STORE_ALARM ? row->kind : 0]);
    cJSON_AddStringToObject(json, "state", state_name(row->state));
    cJSON *body = cJSON_Parse(row->body);
    cJSON_AddItemToObject(json, "body", body ? body : cJSON_CreateNull());
    char *text = cJSON_PrintUnformatted(json);
    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(json);
}

// A cell that a spreadsheet would take for a formula begins with an apostrophe.
static void print_cell(const char *text, const char *end)
{
    const bool formula = text[0] && strchr("=+-@\t\r", text[0]);
    putchar('"');
    if (formula) {
        putchar('\'');
    }
    for (; *text; text++) {
        if (*text == '"') {
            putchar('"');
        }
        putchar(*text);
    }
    printf("\"%s", end);
}

static void print_csv(const struct store_row *row)
{
    g_autofree char *when = time_text(row->ts_ms), *classes = clean(row->classes, true);
    printf("%" G_GINT64_FORMAT ",%s,", row->id, when);
    print_cell(row->camera, ",");
    printf("%" G_GUINT64_FORMAT ",", row->seq);
    print_cell(row->part, ",");
    printf("%s,%u,", result_name(row->result, row->kind), row->defects);
    print_cell(classes, ",");
    printf("%s\r\n", state_name(row->state));
}

// Camera, number and name: what sorts as the parts came.
static char *target_of(const struct options *o, const struct store_row *row, const char *crop)
{
    g_autofree char *camera = g_strdup(row->camera);
    g_strcanon(camera, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS, '-');
    return g_strdup_printf("%s/%s-%" G_GUINT64_FORMAT "-%s.jpg", o->pictures, camera, row->seq,
                           crop);
}

static void copy_picture(struct options *o, const struct store_row *row)
{
    if (!o->pictures || row->kind != STORE_VERDICT || o->copy_failed) {
        return;
    }
    cJSON *body = cJSON_Parse(row->body);
    const cJSON *crop = cJSON_GetObjectItemCaseSensitive(body, "crop");
    const char *name = cJSON_IsString(crop) ? crop->valuestring : "";
    g_autofree char *from = sl_evidence_path(o->folder_found, name);
    g_autofree char *bytes = NULL, *to = from ? target_of(o, row, name) : NULL;
    g_autoptr(GError) error = NULL;
    gsize size = 0;
    if (from && !g_file_get_contents(from, &bytes, &size, NULL)) {
        o->missing++;
    } else if (from && !g_file_set_contents(to, bytes, (gssize)size, &error)) {
        fprintf(stderr, "sightline ledger: %s\n", error->message);
        o->copy_failed = true;
    } else {
        o->copied += from != NULL;
    }
    cJSON_Delete(body);
}

static int print_all(sqlite3 *db, struct options *o, const char *sql,
                     void (*print)(const struct store_row *row))
{
    sqlite3_stmt *q = query(db, sql, o);
    int code = SQLITE_ERROR;
    while (q && (code = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_row row;
        store_row_take(q, &row);
        print(&row);
        copy_picture(o, &row);
        store_row_clear(&row);
    }
    sqlite3_finalize(q);
    if (q && code != SQLITE_DONE) {
        return complain(sqlite3_errmsg(db));
    }
    return q && fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}

#define NEWEST                                                                                     \
    "SELECT * FROM (SELECT " STORE_COLUMNS " FROM record WHERE" WHERE                              \
    " ORDER BY id DESC LIMIT ?8) ORDER BY id"

static int list(sqlite3 *db, struct options *o)
{
    o->limit = o->limit > 0 ? o->limit : 20;
    if (!o->json) {
        printf("%-8s %-20s  %-12s %8s %-20s %-8s %-7s %s\n", "id", "time", "camera", "seq", "part",
               "result", "state", "classes");
    }
    return print_all(db, o, NEWEST, o->json ? print_json : print_line);
}

static int export(sqlite3 *db, struct options *o)
{
    const bool csv = o->format && !strcmp(o->format, "csv");
    o->limit = o->limit > 0 ? o->limit : -1;
    if (csv) {
        printf("id,time,camera,seq,part,result,defects,classes,state\r\n");
    }
    if (o->pictures && g_mkdir_with_parents(o->pictures, 0755)) {
        fprintf(stderr, "sightline ledger: %s: expected a folder that can be made, found: %s\n",
                o->pictures, g_strerror(errno));
        return 1;
    }
    const int status = print_all(db, o, NEWEST, csv ? print_csv : print_json);
    if (o->pictures) {
        fprintf(stderr, "%u pictures copied to %s, %u no longer kept\n", o->copied, o->pictures,
                o->missing);
    }
    return status || o->copy_failed ? 1 : 0;
}

static int verify(sqlite3 *db, struct options *o)
{
    struct store_error error = {""};
    int64_t count = 0;
    const int status = store_verify(db, &count, &error);
    if (o->json) {
        cJSON *json = cJSON_CreateObject();
        cJSON_AddBoolToObject(json, "whole", status == 0);
        cJSON_AddNumberToObject(json, "records", (double)count);
        cJSON_AddItemToObject(json, "error",
                              status ? cJSON_CreateString(error.text) : cJSON_CreateNull());
        char *text = cJSON_PrintUnformatted(json);
        puts(text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(json);
        return status ? 1 : 0;
    }
    if (status) {
        return complain(error.text);
    }
    printf("%" G_GINT64_FORMAT " records, each fits the one before it\n", count);
    return 0;
}

static int replay(sqlite3 *db, struct options *o)
{
    o->kind = STORE_VERDICT;
    o->limit = o->limit > 0 ? o->limit : -1;
    sqlite3_stmt *q = query(db,
                            "UPDATE record SET state = 0 WHERE id IN (SELECT id FROM record"
                            " WHERE" WHERE " ORDER BY id DESC LIMIT ?8)",
                            o);
    const bool done = q && sqlite3_step(q) == SQLITE_DONE;
    const int count = sqlite3_changes(db);
    sqlite3_finalize(q);
    if (!done) {
        return complain(sqlite3_errmsg(db));
    }
    printf(o->json ? "{\"records\":%d}\n" : "%d records go again\n", count);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(sqlite3 *db, struct options *options);
    bool writes;
} actions[] = {
    {"list", list, false},
    {"export", export, false},
    {"verify", verify, false},
    {"replay", replay, true},
};

static int run(struct options *o)
{
    for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
        if (strcmp(o->action, actions[i].name) != 0) {
            continue;
        }
        g_autofree char *folder = find_folder(o);
        o->folder_found = folder;
        sqlite3 *db = folder ? open_ledger(folder, actions[i].writes) : NULL;
        const int status = db ? actions[i].run(db, o) : 1;
        sqlite3_close(db);
        return status;
    }
    fprintf(stderr, "sightline ledger: expected list, export, verify or replay, found '%s'\n",
            o->action);
    return 2;
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Looks at the ledger of verdicts: 'list' shows the newest, 'export' writes all that match, "
        "'verify' follows the chain of hashes, 'replay' marks what matches to be sent again."
        "\vExit status: 0 done, 1 failed or not whole, 2 usage.";
    const struct argp argp = {rows, parse, "list|export|verify|replay", doc, NULL, NULL, NULL};
    struct options o = {
        .config = "/etc/sightline/camera.yaml", .since_ms = INT64_MIN, .until_ms = INT64_MAX};
    argp_program_version = "sightline ledger " SIGHTLINE_VERSION;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    return run(&o);
}
