// camera.yaml: loading, defaults, and the checks that a schema cannot express.
#include "config/camera.h"

#include "config/camera_accelerator.h"
#include "config/camera_schema.h"
#include "config/yaml_locate.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX         (1u << 20)
#define ROOT_SLASHES     4u // leaves room for camera, group and leaf below seven slashes
#define DEFAULT_PORT     1883
#define DEFAULT_PORT_TLS 8883

struct check {
    const char *label;
    const char *text;
    size_t size;
    char folder[PATH_MAX]; // of the file, absolute
    struct sl_yaml_error *error;
};

__attribute__((format(printf, 3, 4))) static int fail(struct check *check, const char *key,
                                                      const char *format, ...)
{
    char *out = check->error->message;
    size_t size = sizeof(check->error->message);
    size_t line = yaml_locate(check->text, check->size, key);
    int used = snprintf(out, size, "%s:%zu: %s: ", check->label, line, key);
    if (used > 0 && (size_t)used < size) {
        va_list args;
        va_start(args, format);
        vsnprintf(out + used, size - (size_t)used, format, args);
        va_end(args);
    }
    return -EINVAL;
}

static int fail_memory(struct check *check)
{
    snprintf(check->error->message, sizeof(check->error->message), "%s: out of memory",
             check->label);
    return -ENOMEM;
}

static bool is_level(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        bool letter = text[i] >= 'a' && text[i] <= 'z';
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (!letter && !digit && text[i] != '-') {
            return false;
        }
    }
    return length > 0;
}

static int check_root(struct check *check, const char *root)
{
    unsigned slashes = 0;
    for (const char *level = root;; slashes++) {
        size_t length = strcspn(level, "/");
        if (!is_level(level, length)) {
            return fail(check, "broker.root",
                        "expected levels of a-z, 0-9 and - with / between them, found '%s'", root);
        }
        if (level[length] == '\0') {
            break;
        }
        level += length + 1;
    }
    if (slashes > ROOT_SLASHES) {
        return fail(check, "broker.root", "expected at most %u slashes, found %u", ROOT_SLASHES,
                    slashes);
    }
    return 0;
}

static int make_absolute(struct check *check, char **path)
{
    if ((*path)[0] == '/') {
        return 0;
    }
    char *joined = NULL;
    if (asprintf(&joined, "%s/%s", check->folder, *path) < 0) {
        return fail_memory(check);
    }
    free(*path);
    *path = joined;
    return 0;
}

// Makes the path absolute and sees that it is there: a file (S_IFREG) or a directory (S_IFDIR).
static int check_path(struct check *check, const char *key, char **path, mode_t type)
{
    if (!*path) {
        return 0;
    }
    const char *wanted = type == S_IFDIR ? "a directory" : "a file";
    int status = make_absolute(check, path);
    if (status) {
        return status;
    }
    struct stat st;
    if (stat(*path, &st)) {
        return fail(check, key, "expected %s that can be read, found '%s': %s", wanted, *path,
                    strerror(errno));
    }
    if ((st.st_mode & S_IFMT) != type) {
        return fail(check, key, "expected %s, found '%s', which is %s", wanted, *path,
                    S_ISDIR(st.st_mode) ? "a directory" : "something else");
    }
    if (access(*path, type == S_IFDIR ? R_OK | X_OK : R_OK)) {
        return fail(check, key, "expected %s that can be read, found '%s': %s", wanted, *path,
                    strerror(errno));
    }
    return 0;
}

// A file with a secret: nobody else may read it.
static int check_secret(struct check *check, const char *key, char **path)
{
    struct stat st;
    int status = check_path(check, key, path, S_IFREG);
    if (!status && *path && stat(*path, &st) == 0 && (st.st_mode & 077)) {
        return fail(check, key,
                    "expected a file for its owner alone (mode 0600), found '%s' with mode %04o",
                    *path, (unsigned)(st.st_mode & 07777));
    }
    return status;
}

static int check_password(struct check *check, struct sl_config_broker *broker)
{
    int status = check_secret(check, "broker.password_file", &broker->password_file);
    if (status || !broker->password_file) {
        return status;
    }
    if (!broker->username) {
        return fail(check, "broker.username",
                    "expected a name beside the password_file, found "
                    "no such key");
    }
    return 0;
}

static int check_psk(struct check *check, struct sl_config_broker *broker)
{
    int status = check_secret(check, "broker.psk_file", &broker->psk_file);
    if (status) {
        return status;
    }
    if (!broker->psk_identity != !broker->psk_file) {
        return fail(check, broker->psk_file ? "broker.psk_identity" : "broker.psk_file",
                    "expected both psk_identity and psk_file, found one");
    }
    if (broker->psk_file && broker->ca_file) {
        return fail(check, "broker.psk_file", "expected either psk_file or ca_file, found both");
    }
    return 0;
}

// A level of a Sparkplug topic: anything but what topics give a meaning.
static int check_sparkplug_name(struct check *check, const char *key, const char *name)
{
    if (name && strpbrk(name, "/+#")) {
        return fail(check, key, "expected a name without /, + and #, found '%s'", name);
    }
    for (const char *c = name; c && *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 127) {
            return fail(check, key, "expected a name without control characters, found octet %d",
                        *c);
        }
    }
    return 0;
}

static int check_sparkplug(struct check *check, const struct sl_config_sparkplug *s)
{
    if (!s) {
        return 0;
    }
    int status = check_sparkplug_name(check, "broker.sparkplug.group", s->group);
    status = status ? status : check_sparkplug_name(check, "broker.sparkplug.node", s->node);
    return status ? status
                  : check_sparkplug_name(check, "broker.sparkplug.primary_host", s->primary_host);
}

static int check_tls(struct check *check, struct sl_config_broker *broker)
{
    struct {
        const char *key;
        char **path;
    } files[] = {
        {"broker.ca_file", &broker->ca_file},
        {"broker.certificate_file", &broker->certificate_file},
        {"broker.key_file", &broker->key_file},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int status = check_path(check, files[i].key, files[i].path, S_IFREG);
        if (status) {
            return status;
        }
    }
    if (!broker->certificate_file != !broker->key_file) {
        return fail(check, broker->key_file ? "broker.certificate_file" : "broker.key_file",
                    "expected both certificate_file and key_file, found one");
    }
    if (broker->certificate_file && !broker->ca_file) {
        return fail(check, "broker.ca_file",
                    "expected a file beside certificate_file, found no "
                    "such key");
    }
    return 0;
}

static int set_text(struct check *check, char **text, const char *value)
{
    if (!*text) {
        *text = strdup(value);
    }
    return *text ? 0 : fail_memory(check);
}

static void set_number(uint32_t *number, uint32_t value)
{
    *number = *number ? *number : value;
}

static void set_rate(double *rate, double value)
{
    *rate = *rate > 0 ? *rate : value;
}

static int finish_broker(struct check *check, struct sl_config_broker *broker)
{
    if (broker->port == 0) {
        broker->port = broker->ca_file || broker->psk_file ? DEFAULT_PORT_TLS : DEFAULT_PORT;
    }
    set_number(&broker->keepalive_s, 15);
    set_number(&broker->queue, 1000);
    int status = set_text(check, &broker->host, "localhost");
    status = status ? status : set_text(check, &broker->root, "sightline");
    status = status ? status : check_root(check, broker->root);
    if (!status && broker->client_id && !is_level(broker->client_id, strlen(broker->client_id))) {
        status = fail(check, "broker.client_id", "expected a-z, 0-9 and - only, found '%s'",
                      broker->client_id);
    }
    if (!status && broker->discovery && !is_level(broker->discovery, strlen(broker->discovery))) {
        status = fail(check, "broker.discovery", "expected a-z, 0-9 and - only, found '%s'",
                      broker->discovery);
    }
    status = status ? status : check_password(check, broker);
    status = status ? status : check_tls(check, broker);
    status = status ? status : check_psk(check, broker);
    return status ? status : check_sparkplug(check, broker->sparkplug);
}

// The service manager says where state belongs; anybody else has it beside the configuration.
static int finish_ledger(struct check *check, struct sl_config_ledger *ledger)
{
    const char *state = getenv("STATE_DIRECTORY");
    set_number(&ledger->max_mb, 512);
    set_number(&ledger->max_records, 1000000);
    set_number(&ledger->history_rate, 200);
    if (!ledger->path && state && state[0] == '/' && !strchr(state, ':')) {
        return asprintf(&ledger->path, "%s/ledger", state) < 0 ? fail_memory(check) : 0;
    }
    int status = set_text(check, &ledger->path, "ledger");
    return status ? status : make_absolute(check, &ledger->path);
}

// Keys below one camera: "cameras[2].source.type".
struct key {
    char text[96];
};

static struct key camera_key(uint32_t camera, const char *rest)
{
    struct key key;
    snprintf(key.text, sizeof(key.text), "cameras[%u].%s", camera, rest);
    return key;
}

static int check_source_member(struct check *check, uint32_t i, const struct sl_config_source *s)
{
    const struct {
        uint32_t type;
        const char *name;
        bool set;
    } members[] = {
        {SL_SOURCE_V4L2, "v4l2", s->v4l2 != NULL},
        {SL_SOURCE_PICTURES, "pictures", s->pictures != NULL},
        {SL_SOURCE_LINE, "line", s->line != NULL},
        {SL_SOURCE_CUSTOM, "custom", s->custom != NULL},
    };
    const char *wanted = "";
    for (size_t m = 0; m < sizeof(members) / sizeof(members[0]); m++) {
        wanted = members[m].type == s->type ? members[m].name : wanted;
    }
    for (size_t m = 0; m < sizeof(members) / sizeof(members[0]); m++) {
        if (members[m].set == (members[m].type == s->type)) {
            continue;
        }
        char rest[32];
        snprintf(rest, sizeof(rest), "source.%s", members[m].name);
        struct key key = camera_key(i, rest);
        return members[m].set
                   ? fail(check, key.text, "expected only '%s' beside type: %s, found '%s'", wanted,
                          wanted, members[m].name)
                   : fail(check, key.text, "expected a mapping for type: %s, found no such key",
                          wanted);
    }
    return 0;
}

static int finish_v4l2(struct check *check, uint32_t i, struct sl_config_v4l2 *v4l2)
{
    set_number(&v4l2->format, SL_FORMAT_MJPEG);
    set_rate(&v4l2->rate, 30);
    if (v4l2->device[0] != '/') {
        return fail(check, camera_key(i, "source.v4l2.device").text,
                    "expected an absolute path such as /dev/video0, found '%s'", v4l2->device);
    }
    for (uint32_t c = 1; c < v4l2->controls_count; c++) {
        for (uint32_t d = 0; d < c; d++) {
            if (strcmp(v4l2->controls[c].name, v4l2->controls[d].name) == 0) {
                char rest[64];
                snprintf(rest, sizeof(rest), "source.v4l2.controls[%u].name", c);
                return fail(check, camera_key(i, rest).text,
                            "expected every control once, found '%s' again",
                            v4l2->controls[c].name);
            }
        }
    }
    return 0;
}

static void finish_line(struct sl_config_line *line)
{
    set_rate(&line->rate, 2);
    set_number(&line->width, 640);
    set_number(&line->height, 640);
    set_number(&line->format, SL_FORMAT_MJPEG);
}

static int finish_source(struct check *check, uint32_t i, struct sl_config_source *source)
{
    set_number(&source->stall_ms, 1000);
    int status = check_source_member(check, i, source);
    if (!status && source->v4l2) {
        status = finish_v4l2(check, i, source->v4l2);
    }
    if (!status && source->line) {
        finish_line(source->line);
    }
    if (!status && source->pictures) {
        status = check_path(check, camera_key(i, "source.pictures.directory").text,
                            &source->pictures->directory, S_IFDIR);
    }
    return status;
}

static int finish_accelerator(struct check *check, uint32_t i, struct sl_config_camera *camera)
{
    char text[ACCELERATOR_MAX + 1], problem[128];
    if (!camera->accelerator) {
        return 0;
    }
    if (camera->model.backend) {
        return fail(check, camera_key(i, "model.backend").text,
                    "expected this or the section accelerator, found both");
    }
    if (accelerator_compose(camera->accelerator, text, sizeof(text), problem, sizeof(problem))) {
        return fail(check, camera_key(i, "accelerator").text, "%s", problem);
    }
    return set_text(check, &camera->model.backend, text);
}

static int finish_model(struct check *check, uint32_t i, struct sl_config_model *model)
{
    int status = set_text(check, &model->backend, "cpu");
    status = status ? status
                    : check_path(check, camera_key(i, "model.path").text, &model->path, S_IFDIR);
    for (uint32_t c = 1; !status && c < model->thresholds_count; c++) {
        for (uint32_t d = 0; d < c; d++) {
            if (strcmp(model->thresholds[c].class_name, model->thresholds[d].class_name) == 0) {
                char rest[64];
                snprintf(rest, sizeof(rest), "model.thresholds[%u].class", c);
                return fail(check, camera_key(i, rest).text,
                            "expected every class once, found '%s' again",
                            model->thresholds[c].class_name);
            }
        }
    }
    return status;
}

static int finish_part(struct check *check, uint32_t i, struct sl_config_part *part)
{
    set_number(&part->mode, SL_PART_FREE_RUN);
    set_number(&part->frames, 1);
    set_number(&part->combine, SL_COMBINE_ANY_NG);
    set_number(&part->deadline_ms, 1000);
    int status = set_text(check, &part->recipe, "default");
    return status
               ? status
               : check_path(check, camera_key(i, "part.reference").text, &part->reference, S_IFREG);
}

static bool name_is_taken(const struct sl_config_camera *camera, uint32_t r)
{
    bool taken = false;
    for (uint32_t i = 0; i < r; i++) {
        taken = taken || strcmp(camera->recipes[r].name, camera->recipes[i].name) == 0;
    }
    return taken;
}

static int add_own_recipe(struct check *check, struct sl_config_camera *camera)
{
    struct sl_config_recipe *list =
        realloc(camera->recipes, (camera->recipes_count + 1) * sizeof(*list));
    char *name = list ? strdup(camera->part.recipe) : NULL;
    camera->recipes = list ? list : camera->recipes;
    if (!name) {
        return fail_memory(check);
    }
    memmove(list + 1, list, camera->recipes_count++ * sizeof(*list));
    list[0] = (struct sl_config_recipe){.name = name};
    return 0;
}

static int finish_recipe(struct check *check, uint32_t i, struct sl_config_camera *camera,
                         uint32_t r)
{
    struct sl_config_recipe *recipe = &camera->recipes[r];
    char rest[48];
    snprintf(rest, sizeof(rest), "recipes[%u].name", r - 1);
    if (name_is_taken(camera, r)) {
        return fail(check, camera_key(i, rest).text, "expected a name of its own, found '%s' again",
                    recipe->name);
    }
    snprintf(rest, sizeof(rest), "recipes[%u].model", r - 1);
    int status = check_path(check, camera_key(i, rest).text, &recipe->model, S_IFDIR);
    snprintf(rest, sizeof(rest), "recipes[%u].reference", r - 1);
    return status ? status
                  : check_path(check, camera_key(i, rest).text, &recipe->reference, S_IFREG);
}

static int check_name(struct check *check, const struct sl_config *config, uint32_t i)
{
    const char *name = config->cameras[i].name;
    struct key key = camera_key(i, "name");
    if (!is_level(name, strlen(name))) {
        return fail(check, key.text, "expected a-z, 0-9 and - only, found '%s'", name);
    }
    for (uint32_t j = 0; j < i; j++) {
        if (strcmp(config->cameras[j].name, name) == 0) {
            return fail(check, key.text,
                        "expected a name of its own, found '%s', which is "
                        "cameras[%u] too",
                        name, j);
        }
    }
    return 0;
}

static int finish(struct check *check, struct sl_config *config)
{
    set_number(&config->metrics_interval_s, 10);
    set_number(&config->evidence.max_mb, 1024);
    int status = finish_broker(check, &config->broker);
    status = status ? status : finish_ledger(check, &config->ledger);
    for (uint32_t i = 0; !status && i < config->cameras_count; i++) {
        struct sl_config_camera *camera = &config->cameras[i];
        status = check_name(check, config, i);
        status = status ? status : finish_source(check, i, &camera->source);
        status = status ? status : finish_accelerator(check, i, camera);
        status = status ? status : finish_model(check, i, &camera->model);
        status = status ? status : finish_part(check, i, &camera->part);
        status = status ? status : add_own_recipe(check, camera);
        for (uint32_t r = 1; !status && r < camera->recipes_count; r++) {
            status = finish_recipe(check, i, camera, r);
        }
    }
    return status;
}

static int fail_file(const char *path, int code, struct sl_yaml_error *error)
{
    snprintf(error->message, sizeof(error->message),
             "%s: expected a file that can be read, found: %s", path, strerror(code));
    return -code;
}

// Reads at most one byte more than a configuration may have, so that the reader can refuse it.
static int read_file(const char *path, char **text, size_t *size, struct sl_yaml_error *error)
{
    // O_NONBLOCK: a FIFO must not hold us up; it reads as empty.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return fail_file(path, errno, error);
    }
    char *buffer = malloc(FILE_MAX + 1);
    size_t used = 0;
    int status = buffer ? 0 : fail_file(path, ENOMEM, error);
    while (!status && used < FILE_MAX + 1) {
        ssize_t n = read(fd, buffer + used, FILE_MAX + 1 - used);
        if (n == 0) {
            break;
        }
        if (n > 0) {
            used += (size_t)n;
        } else if (errno != EINTR) {
            status = fail_file(path, errno, error);
        }
    }
    close(fd);
    if (status) {
        free(buffer);
        return status;
    }
    *text = buffer;
    *size = used;
    return 0;
}

static int find_folder(const char *path, char out[PATH_MAX], struct sl_yaml_error *error)
{
    char *copy = strdup(path);
    if (!copy) {
        return fail_file(path, ENOMEM, error);
    }
    int code = realpath(dirname(copy), out) ? 0 : errno;
    free(copy);
    return code ? fail_file(path, code, error) : 0;
}

int sl_config_load(const char *path, struct sl_config **out, struct sl_yaml_error *error)
{
    struct check check = {.label = path, .error = error};
    char *text = NULL;
    int status = read_file(path, &text, &check.size, error);
    if (status) {
        return status;
    }
    check.text = text;
    void *loaded = NULL;
    status = find_folder(path, check.folder, error);
    status = status ? status : sl_yaml_load(path, text, check.size, &camera_schema, &loaded, error);
    if (!status) {
        status = finish(&check, loaded);
    }
    free(text);
    if (status) {
        sl_config_free(loaded);
        return status;
    }
    *out = loaded;
    return 0;
}

void sl_config_free(struct sl_config *config)
{
    if (config) {
        sl_yaml_free(&camera_schema, config);
    }
}
