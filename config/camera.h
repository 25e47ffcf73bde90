// camera.yaml: what the daemon does. The structures are what the file says, defaults filled in.
#ifndef SL_CONFIG_CAMERA_H
#define SL_CONFIG_CAMERA_H

#include "config/yaml.h"

#include <stdbool.h>
#include <stdint.h>

enum sl_source_type { SL_SOURCE_V4L2 = 1, SL_SOURCE_PICTURES, SL_SOURCE_LINE, SL_SOURCE_CUSTOM };
enum sl_source_format {
    SL_FORMAT_MJPEG = 1,
    SL_FORMAT_YUYV,
    SL_FORMAT_GREY,
    SL_FORMAT_NV12,
};
enum sl_part_mode { SL_PART_FREE_RUN = 1, SL_PART_TRIGGER };
enum sl_part_combine { SL_COMBINE_ANY_NG = 1, SL_COMBINE_MAJORITY }; // several frames per part

struct sl_config_control { // a V4L2 control by its name ("exposure_time_absolute") and value
    char *name;
    int32_t value;
};

struct sl_config_v4l2 {
    char *device;    // /dev/v4l/by-id/… or /dev/videoN
    uint32_t format; // enum sl_source_format
    uint32_t width, height;
    double rate; // frames per second
    struct sl_config_control *controls;
    uint32_t controls_count;
};

struct sl_config_pictures {
    char *directory; // DeepPCB layout (NAME_test.jpg, NAME_temp.jpg, NAME.txt) or plain *.jpg
    double rate;     // pictures per second; 0: as fast as they are taken
    bool loop;
};

struct sl_config_line { // the simulated line
    uint32_t product_seed, seed;
    double rate;        // boards per second
    double defect_rate; // share of boards with defects
    double blur_px, noise, light, shift_px, rotation_deg;
    uint32_t width, height;
    uint32_t format; // SL_FORMAT_MJPEG or SL_FORMAT_GREY
};

struct sl_config_custom {
    char *launch; // gst-launch description; its last element's source pad is used
};

struct sl_config_source {
    uint32_t type; // enum sl_source_type; exactly that member is set
    struct sl_config_v4l2 *v4l2;
    struct sl_config_pictures *pictures;
    struct sl_config_line *line;
    struct sl_config_custom *custom;
    uint32_t stall_ms; // no frame for so long: the camera counts as lost
};

struct sl_config_threshold {
    char *class_name;
    double threshold;
};

struct sl_config_point {
    double x, y;
};

struct sl_config_mask { // polygon in pixels of the reference
    struct sl_config_point *points;
    uint32_t points_count;
};

struct sl_config_model {
    char *path;    // directory of the model
    char *backend; // accel/accel.h configuration string
    struct sl_config_threshold *thresholds;
    uint32_t thresholds_count;
    struct sl_config_mask *masks;
    uint32_t masks_count;
};

struct sl_config_part {
    uint32_t mode;   // enum sl_part_mode
    uint32_t frames; // per part
    uint32_t combine;
    uint32_t deadline_ms; // from the trigger, or from the first frame's capture
    char *recipe;
    char *reference; // golden picture (JPEG); NULL where the source brings one per part
};

// What cmd/recipe can change a camera to. What is left out stays as the camera's own.
struct sl_config_recipe {
    char *name;
    char *model;     // directory
    char *reference; // golden picture
    struct sl_config_threshold *thresholds;
    uint32_t thresholds_count;
    struct sl_config_mask *masks;
    uint32_t masks_count;
};

struct sl_config_step {
    char *backend;        // accel/accel.h configuration string
    uint32_t deadline_ms; // of a run on this step; 0: what the part's deadline leaves
};

// The back ends in the order in which they are tried; becomes model.backend.
struct sl_config_accelerator {
    struct sl_config_step *steps;
    uint32_t steps_count;
    uint32_t strikes, retry_ms, cross_check, tolerance_permille; // 0: the ladder's default
};

struct sl_config_camera {
    char *name; // [a-z0-9-]
    struct sl_config_source source;
    struct sl_config_model model;
    struct sl_config_part part;
    struct sl_config_accelerator *accelerator; // NULL: model.backend alone
    struct sl_config_recipe *recipes; // the first is the camera's own: part.recipe, nothing else
    uint32_t recipes_count;
};

struct sl_config_sparkplug {
    char *group, *node; // of the topics; node NULL: the client id
    char *primary_host; // nothing is said while that host is offline; NULL: there is none
};

struct sl_config_broker {
    char *host;
    uint16_t port;
    char *username;
    char *password_file; // one line; must not be readable by others
    char *ca_file, *certificate_file, *key_file;
    char *psk_identity,
        *psk_file;   // TLS by a shared key: one line, hexadecimal, for its owner alone
    char *root;      // first levels of every topic; the camera's name is appended
    char *client_id; // NULL: sightline-<hostname>
    char *discovery; // Home Assistant's discovery prefix; NULL: it is told nothing
    struct sl_config_sparkplug *sparkplug; // NULL: no edge node
    uint32_t keepalive_s;
    uint32_t queue; // verdicts between the cameras and the ledger's disk
};

struct sl_config_ledger {
    char *path;            // directory; made when it is not there
    uint32_t max_mb;       // of records; the oldest go first
    uint32_t max_records;  // likewise
    uint32_t history_rate; // records per second sent late, after an outage
};

struct sl_config_evidence { // pictures of parts, kept beside the ledger
    double ok_share;        // of OK parts that get one; NG and ERROR all do
    uint32_t max_mb;        // the oldest go first
};

struct sl_config {
    uint32_t schema;
    struct sl_config_broker broker;
    struct sl_config_ledger ledger;
    struct sl_config_evidence evidence;
    struct sl_config_camera *cameras;
    uint32_t cameras_count;
    uint32_t metrics_interval_s;
};

// Reads and checks a file; relative paths in it are taken from the file's folder and come out
// absolute. Files that it names must exist and be readable (a V4L2 device may be absent: cameras
// come and go). On failure *out is untouched.
int sl_config_load(const char *path, struct sl_config **out, struct sl_yaml_error *error);
void sl_config_free(struct sl_config *config); // NULL is fine

// True if both sections say the same, defaults included.
bool sl_config_camera_equal(const struct sl_config_camera *a, const struct sl_config_camera *b);
bool sl_config_broker_equal(const struct sl_config_broker *a, const struct sl_config_broker *b);
bool sl_config_ledger_equal(const struct sl_config_ledger *a, const struct sl_config_ledger *b);
bool sl_config_evidence_equal(const struct sl_config_evidence *a,
                              const struct sl_config_evidence *b);

#endif
