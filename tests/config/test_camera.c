// camera.yaml: the example loads, defaults are filled in, and what is wrong is refused by name.
#include "config/camera.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[PATH_MAX];

static const char *in_folder(const char *name)
{
    static char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text, size_t size, mode_t mode)
{
    unlink(in_folder(name));
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(in_folder(name), mode), 0);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sl-camera-XXXXXX");
    if (!mkdtemp(folder)) {
        return -1;
    }
    static const char *const directories[] = {"models", "models/pcb", "pictures"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(mkdir(in_folder(directories[i]), 0755), 0);
    }
    static const char *const files[] = {"golden.jpg", "ca.crt", "client.crt", "client.key"};
    for (size_t i = 0; i < 4; i++) {
        write_file(files[i], "x", 1, 0644);
    }
    write_file("password", "secret\n", 7, 0600);
    write_file("open-password", "secret\n", 7, 0640);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"golden.jpg",    "ca.crt",      "client.crt", "client.key",
                                        "password",      "camera.yaml", "models/pcb", "models",
                                        "open-password", "pictures"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        remove(in_folder(names[i]));
    }
    return rmdir(folder);
}

static int load(const char *text, size_t size, struct sl_config **out, struct sl_yaml_error *error)
{
    write_file("camera.yaml", text, size, 0644);
    return sl_config_load(in_folder("camera.yaml"), out, error);
}

static const char base[] = "schema: 1\n"
                           "broker:\n"
                           "  host: broker.plant\n"
                           "  root: acme/plant1\n"
                           "cameras:\n"
                           "  - name: cam1\n"
                           "    source:\n"
                           "      type: line\n"
                           "      line:\n"
                           "        defect_rate: 0\n"
                           "    model:\n"
                           "      path: models/pcb\n"
                           "  - name: cam2\n"
                           "    source:\n"
                           "      type: pictures\n"
                           "      pictures: {directory: pictures}\n"
                           "    model:\n"
                           "      path: models/pcb\n";

static void loads_the_example(void **state)
{
    (void)state;
    char text[16384];
    FILE *file = fopen(SL_SOURCE_DIR "/config/camera.yaml.example", "rb");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof(text), file);
    fclose(file);
    struct sl_yaml_error error = {""};
    struct sl_config *config = NULL;
    int status = load(text, size, &config, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, 0);
    assert_int_equal(config->cameras_count, 4);
    const struct sl_config_camera *camera = &config->cameras[0];
    assert_int_equal(camera->source.v4l2->controls_count, 2);
    assert_int_equal(camera->source.v4l2->controls[1].value, 50);
    assert_string_equal(camera->model.thresholds[0].class_name, "short");
    assert_int_equal(camera->model.masks[0].points_count, 3);
    assert_string_equal(camera->part.reference, in_folder("golden.jpg"));
    assert_true(config->cameras[1].source.pictures->loop);
    assert_int_equal(config->cameras[2].source.line->product_seed, 1);
    assert_int_equal(config->cameras[3].source.type, SL_SOURCE_CUSTOM);
    sl_config_free(config);
}

static void fills_in_defaults(void **state)
{
    (void)state;
    struct sl_yaml_error error = {""};
    struct sl_config *config = NULL;
    assert_int_equal(load(base, sizeof(base) - 1, &config, &error), 0);
    assert_int_equal(config->broker.port, 1883);
    assert_int_equal(config->broker.queue, 1000);
    assert_int_equal(config->broker.keepalive_s, 15);
    assert_null(config->broker.client_id);
    assert_int_equal(config->metrics_interval_s, 10);
    const struct sl_config_camera *camera = &config->cameras[0];
    assert_int_equal(camera->source.stall_ms, 1000);
    assert_int_equal(camera->source.line->width, 640);
    assert_int_equal(camera->source.line->format, SL_FORMAT_MJPEG);
    assert_true(camera->source.line->light == 0);
    assert_true(camera->source.line->defect_rate == 0.0);
    assert_string_equal(camera->model.path, in_folder("models/pcb"));
    assert_string_equal(camera->model.backend, "cpu");
    assert_int_equal(camera->part.mode, SL_PART_FREE_RUN);
    assert_int_equal(camera->part.frames, 1);
    assert_int_equal(camera->part.combine, SL_COMBINE_ANY_NG);
    assert_int_equal(camera->part.deadline_ms, 1000);
    assert_string_equal(camera->part.recipe, "default");
    assert_null(camera->part.reference);
    assert_true(config->cameras[1].source.pictures->rate == 0.0);
    sl_config_free(config);
}

// `from` in the base text becomes `to`, once.
static size_t change(char *out, size_t size, const char *from, const char *to)
{
    const char *at = strstr(base, from);
    assert_non_null(at);
    int n = snprintf(out, size, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
    assert_true(n > 0 && (size_t)n < size);
    return (size_t)n;
}

static void accepts_tls_with_its_port(void **state)
{
    (void)state;
    char text[4096];
    size_t size = change(text, sizeof(text), "  host: broker.plant\n",
                         "  ca_file: ca.crt\n  certificate_file: client.crt\n"
                         "  key_file: client.key\n  username: u\n  password_file: password\n");
    struct sl_yaml_error error = {""};
    struct sl_config *config = NULL;
    assert_int_equal(load(text, size, &config, &error), 0);
    assert_int_equal(config->broker.port, 8883);
    assert_string_equal(config->broker.host, "localhost");
    assert_string_equal(config->broker.key_file, in_folder("client.key"));
    sl_config_free(config);
    size = change(text, sizeof(text), "  host: broker.plant\n",
                  "  psk_identity: cam1\n  psk_file: password\n  sparkplug: {group: Plant 1}\n");
    assert_int_equal(load(text, size, &config, &error), 0);
    assert_int_equal(config->broker.port, 8883);
    assert_string_equal(config->broker.psk_file, in_folder("password"));
    assert_string_equal(config->broker.sparkplug->group, "Plant 1");
    assert_null(config->broker.sparkplug->node);
    sl_config_free(config);
}

struct refusal {
    const char *from, *to;
    const char *message; // what follows "FOLDER/camera.yaml:"
};

#define LEVELS "expected levels of a-z, 0-9 and - with / between them, found "

static const struct refusal refusals[] = {
    {"schema: 1", "schema: 2", "1: schema: expected"},
    {"  host:", "  hots:", "3: broker.hots: unknown key; did you mean 'host'?"},
    {"acme/plant1", "/acme", "4: broker.root: " LEVELS "'/acme'"},
    {"acme/plant1", "acme//a", "4: broker.root: " LEVELS "'acme//a'"},
    {"acme/plant1", "acme/", "4: broker.root: " LEVELS "'acme/'"},
    {"acme/plant1", "acme/+", "4: broker.root: " LEVELS "'acme/+'"},
    {"acme/plant1", "Acme", "4: broker.root: " LEVELS "'Acme'"},
    {"acme/plant1", "a/b/c/d/e/f", "4: broker.root: expected at most 4 slashes, found 5"},
    {"  root: acme/plant1", "  port: 65536", "4: broker.port: expected"},
    {"  root: acme/plant1", "  port: 0", "4: broker.port: expected"},
    {"  root: acme/plant1", "  queue: 0", "4: broker.queue: expected"},
    {"  root: acme/plant1", "  discovery: a/b", "4: broker.discovery: expected a-z, 0-9 and -"},
    {"  root: acme/plant1", "  discovery: '+'", "4: broker.discovery: expected a-z, 0-9 and -"},
    {"  root: acme/plant1", "  client_id: a b", "4: broker.client_id: expected a-z, 0-9 and -"},
    {"  root: acme/plant1", "  ca_file: none.crt",
     "4: broker.ca_file: expected a file that can be read, found"},
    {"  root: acme/plant1", "  ca_file: models", "4: broker.ca_file: expected a file, found"},
    {"  root: acme/plant1", "  ca_file: ca.crt\n  key_file: client.key",
     "3: broker.certificate_file: expected both certificate_file and key_file, found one"},
    {"  root: acme/plant1", "  key_file: client.key\n  certificate_file: client.crt",
     "3: broker.ca_file: expected a file beside certificate_file"},
    {"  root: acme/plant1", "  password_file: password",
     "3: broker.username: expected a name beside the password_file"},
    {"  root: acme/plant1", "  username: u\n  password_file: open-password",
     "5: broker.password_file: expected a file for its owner alone (mode 0600), found"},
    {"  root: acme/plant1", "  sparkplug: {node: n}",
     "4: broker.sparkplug.group: expected text of 1 to 64 bytes, found no such key"},
    {"  root: acme/plant1", "  sparkplug: {group: a/b}",
     "4: broker.sparkplug.group: expected a name without /, + and #, found 'a/b'"},
    {"  root: acme/plant1", "  sparkplug: {group: g, node: n+}",
     "4: broker.sparkplug.node: expected a name without /, + and #, found 'n+'"},
    {"  root: acme/plant1", "  sparkplug: {group: g, primary_host: '#'}",
     "4: broker.sparkplug.primary_host: expected a name without /, + and #, found '#'"},
    {"  root: acme/plant1", "  sparkplug: {group: \"a\\nb\"}",
     "4: broker.sparkplug.group: expected a name without control characters, found octet 10"},
    {"  root: acme/plant1", "  sparkplug: {group: g, nodes: n}",
     "4: broker.sparkplug.nodes: unknown key; did you mean 'node'?"},
    {"  root: acme/plant1", "  psk_identity: cam1",
     "3: broker.psk_file: expected both psk_identity and psk_file, found one"},
    {"  root: acme/plant1", "  psk_file: password",
     "3: broker.psk_identity: expected both psk_identity and psk_file, found one"},
    {"  root: acme/plant1", "  psk_identity: cam1\n  psk_file: open-password",
     "5: broker.psk_file: expected a file for its owner alone (mode 0600), found"},
    {"  root: acme/plant1", "  psk_identity: cam1\n  psk_file: password\n  ca_file: ca.crt",
     "5: broker.psk_file: expected either psk_file or ca_file, found both"},
    {"name: cam1", "name: Cam1", "6: cameras[0].name: expected a-z, 0-9 and - only, found 'Cam1'"},
    {"name: cam1", "name: a/b", "6: cameras[0].name: expected a-z, 0-9 and - only"},
    {"name: cam1", "name: '#'", "6: cameras[0].name: expected a-z, 0-9 and - only"},
    {"name: cam2", "name: cam1", "13: cameras[1].name: expected a name of its own, found 'cam1'"},
    {"type: line", "type: lime", "8: cameras[0].source.type: expected one of"},
    {"type: line", "type: v4l2", "8: cameras[0].source.v4l2: expected a mapping for type: v4l2"},
    {"type: line", "type: custom\n      custom: {launch: x}",
     "11: cameras[0].source.line: expected only 'custom' beside type: custom, found 'line'"},
    {"      line:\n        defect_rate: 0\n", "", "8: cameras[0].source.line: expected a mapping"},
    {"defect_rate: 0", "defect_rate: 1.5", "10: cameras[0].source.line.defect_rate: expected"},
    {"defect_rate: 0", "defect_rate: .nan", "10: cameras[0].source.line.defect_rate: expected"},
    {"defect_rate: 0", "rate: 2", "10: cameras[0].source.line.defect_rate: expected"},
    {"defect_rate: 0", "defect_rate: 0\n        format: yuyv",
     "11: cameras[0].source.line.format: expected one of mjpeg, grey"},
    {"defect_rate: 0", "defect_rate: 0\n        rate: 0",
     "11: cameras[0].source.line.rate: expected"},
    {"directory: pictures", "directory: nowhere",
     "16: cameras[1].source.pictures.directory: expected a directory that can be read, found"},
    {"path: models/pcb", "path: golden.jpg",
     "12: cameras[0].model.path: expected a directory, found"},
    {"path: models/pcb", "path: models/absent",
     "12: cameras[0].model.path: expected a directory that can be read, found"},
    {"path: models/pcb", "path: ''", "12: cameras[0].model.path: expected"},
    {"path: models/pcb", "path: models/pcb\n    part: {reference: none.jpg}",
     "13: cameras[0].part.reference: expected a file that can be read"},
    {"path: models/pcb", "path: models/pcb\n    part: {deadline_ms: 0}",
     "13: cameras[0].part.deadline_ms: expected"},
    {"path: models/pcb", "path: models/pcb\n    part: {frames: -1}",
     "13: cameras[0].part.frames: expected"},
    {"path: models/pcb", "path: models/pcb\n    part: {mode: free_run}",
     "13: cameras[0].part.mode: expected one of free-run, trigger"},
    {"path: models/pcb", "path: models/pcb\n      masks: [{points: [{x: 0, y: 0}]}]",
     "13: cameras[0].model.masks[0].points: expected"},
    {"path: models/pcb",
     "path: models/pcb\n      thresholds:\n        - {class: a, threshold: 0.1}\n"
     "        - {class: a, threshold: 0.2}",
     "15: cameras[0].model.thresholds[1].class: expected every class once, found 'a' again"},
    {"path: models/pcb", "path: models/pcb\n      thresholds: [{class: a, threshold: 2}]",
     "13: cameras[0].model.thresholds[0].threshold: expected"},
    {"      type: line\n      line:\n        defect_rate: 0\n",
     "      type: v4l2\n      v4l2: {device: video0, width: 640, height: 480}\n",
     "9: cameras[0].source.v4l2.device: expected an absolute path"},
    {"      type: line\n      line:\n        defect_rate: 0\n",
     "      type: v4l2\n      v4l2: {device: /dev/video0, width: 0, height: 480}\n",
     "9: cameras[0].source.v4l2.width: expected"},
    {"      type: line\n      line:\n        defect_rate: 0\n",
     "      type: v4l2\n      v4l2:\n        device: /dev/video9\n        width: 640\n"
     "        height: 480\n        controls:\n          - {name: gain, value: 1}\n"
     "          - {name: gain, value: 2}\n",
     "15: cameras[0].source.v4l2.controls[1].name: expected every control once"},
    {"path: models/pcb",
     "path: models/pcb\n      backend: cpu\n    accelerator: {steps: [{backend: cpu}]}",
     "13: cameras[0].model.backend: expected this or the section accelerator, found both"},
    {"path: models/pcb", "path: models/pcb\n    accelerator: {steps: []}",
     "13: cameras[0].accelerator.steps: expected"},
    {"path: models/pcb", "path: models/pcb\n    accelerator: {strikes: 2}",
     "13: cameras[0].accelerator.steps: "},
    {"path: models/pcb", "path: models/pcb\n    accelerator: {steps: [{backend: a}], strikes: 0}",
     "13: cameras[0].accelerator.strikes: expected"},
    {"path: models/pcb",
     "path: models/pcb\n    accelerator: {steps: [{backend: a}, {backend: b|c}]}",
     "13: cameras[0].accelerator: steps[1].backend: a ladder cannot be a step"},
};

static void writes_the_ladder(void **state)
{
    (void)state;
    char text[4096];
    struct sl_yaml_error error = {""};
    struct sl_config *config = NULL, *other = NULL;
    size_t size = change(text, sizeof(text), "path: models/pcb",
                         "path: models/pcb\n    accelerator:\n      steps:\n"
                         "        - {backend: 'isolated:cpu,threads=2', deadline_ms: 40}\n"
                         "        - backend: cpu\n      strikes: 5\n      cross_check: 9");
    assert_int_equal(load(text, size, &config, &error), 0);
    assert_string_equal(config->cameras[0].model.backend,
                        "ladder:isolated:cpu,threads=2,ladder.deadline_ms=40|cpu,"
                        "ladder.strikes=5,ladder.cross_check=9");
    assert_string_equal(config->cameras[1].model.backend, "cpu");
    size = change(text, sizeof(text), "path: models/pcb",
                  "path: models/pcb\n    accelerator: {steps: [{backend: 'isolated:cpu'}]}");
    assert_int_equal(load(text, size, &other, &error), 0);
    assert_string_equal(other->cameras[0].model.backend, "isolated:cpu");
    assert_false(sl_config_camera_equal(&config->cameras[0], &other->cameras[0]));
    assert_true(sl_config_camera_equal(&config->cameras[1], &other->cameras[1]));
    sl_config_free(config);
    sl_config_free(other);
}

static void refuses_with_the_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        char text[4096], expected[PATH_MAX + 300];
        size_t size = change(text, sizeof(text), r->from, r->to);
        snprintf(expected, sizeof(expected), "%s:%s", in_folder("camera.yaml"), r->message);
        struct sl_yaml_error error = {""};
        struct sl_config *const untouched = (struct sl_config *)&error;
        struct sl_config *config = untouched;
        int status = load(text, size, &config, &error);
        if (status != -EINVAL || strncmp(error.message, expected, strlen(expected)) != 0) {
            fail_msg("case %zu: status %d\n  expected %s\n  found    %s", i, status, expected,
                     error.message);
        }
        assert_ptr_equal(config, untouched);
    }
}

static void refuses_files_that_are_none(void **state)
{
    (void)state;
    struct sl_yaml_error error = {""};
    struct sl_config *config = NULL;
    assert_int_equal(sl_config_load(in_folder("absent.yaml"), &config, &error), -ENOENT);
    assert_non_null(strstr(error.message, "absent.yaml: expected a file that can be read"));
    assert_int_equal(sl_config_load(folder, &config, &error), -EISDIR);
    assert_int_equal(load("", 0, &config, &error), -EINVAL);
    assert_int_equal(load("a\0b", 3, &config, &error), -EINVAL);
    assert_int_equal(load("[1, 2]", 6, &config, &error), -EINVAL);
    assert_null(config);
    sl_config_free(NULL);
}

static void refuses_a_file_of_more_than_a_mebibyte(void **state)
{
    (void)state;
    size_t size = (1u << 20) + 1;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '#', size);
    struct sl_yaml_error error = {""};
    struct sl_config *config = NULL;
    assert_int_equal(load(text, size, &config, &error), -EINVAL);
    assert_non_null(strstr(error.message, "expected at most 1048576 bytes"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_the_example),
        cmocka_unit_test(fills_in_defaults),
        cmocka_unit_test(accepts_tls_with_its_port),
        cmocka_unit_test(writes_the_ladder),
        cmocka_unit_test(refuses_with_the_line),
        cmocka_unit_test(refuses_files_that_are_none),
        cmocka_unit_test(refuses_a_file_of_more_than_a_mebibyte),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
