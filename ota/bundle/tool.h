// What the actions of `sightline bundle` share. Messages go to standard error; functions return 0,
// or 1 when they have said why.
#ifndef SL_OTA_BUNDLE_TOOL_H
#define SL_OTA_BUNDLE_TOOL_H

#include "ota/bundle/encode.h"
#include "ota/bundle/tensor.h"
#include "ota/bundle/verify.h"

#include <argp.h>

#define SL_TOOL_LIST 256

// Values of an option that may be given more than once.
struct tool_list {
    const char *at[SL_TOOL_LIST];
    unsigned count;
};

int tool_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Values of options; they end the program with a usage message where the text is wrong.
void tool_add(struct tool_list *list, const char *text, struct argp_state *state);
struct sl_bundle_number tool_number(const char *text, struct argp_state *state); // EPOCH.SEQ
uint32_t tool_u32(const char *option, const char *text, uint32_t most, struct argp_state *state);
void tool_id(const char *text, uint8_t *id, struct argp_state *state); // 64 hexadecimal digits
void tool_text(const char *option, const char *text, char *out, size_t size,
               struct argp_state *state);
struct sl_tensor_abi tool_tensor(const char *text, struct argp_state *state);

// A file that takes its name only when it is whole.
struct tool_output {
    const char *path;
    char temporary[4096];
    int fd;
};
int tool_output_open(struct tool_output *out, const char *path);
int tool_output_write(struct tool_output *out, uint64_t offset, const void *octets, size_t size);
// With `fresh` a file of that name is an error; `mode` before the umask.
int tool_output_commit(struct tool_output *out, unsigned mode, bool fresh);
void tool_output_drop(struct tool_output *out);
int tool_output_file(const char *path, const void *octets, size_t size);

// At most `most` octets of a file.
int tool_read(const char *path, uint8_t *out, size_t most, size_t *size);

// Keys in files: one line of text each. A secret key that others may read is refused.
int tool_write_keys(const char *path);
int tool_read_public(const char *path, uint8_t key[32]);
int tool_read_secret(const char *path, uint8_t key[64]);

// A file as a bundle's source; the source is valid until the descriptor is closed.
int tool_open_source(const char *path, struct sl_bundle_source *source, int *fd);

// Distinct components of a model directory in the order of their names, with what model.yaml says.
struct tool_model {
    char name[64], version[64];
    uint32_t width, height, channels;
    char components[SL_COMPONENTS_MAX][SL_NAME_MAX + 1];
    unsigned count;
};
int tool_read_model(const char *directory, struct tool_model *out);

// Text forms, for people and scripts.
void tool_hex(const uint8_t *octets, size_t size, char *out); // 2 * size + 1

int bundle_keygen(int argc, char **argv);
int bundle_create(int argc, char **argv);
int bundle_sign(int argc, char **argv);
int bundle_verify(int argc, char **argv);
int bundle_show(int argc, char **argv);
int bundle_rotate(int argc, char **argv);
int bundle_catalog(int argc, char **argv);
int bundle_order(int argc, char **argv);
int bundle_seed(int argc, char **argv);

#endif
