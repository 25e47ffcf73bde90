// `sightline slot`: prepares a camera's storage and says what is in it.
#include "ota/bundle/encryption.h"
#include "ota/bundle/key_file.h"
#include "ota/cmd_slot.h"
#include "ota/storage.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AREA_SIZE = 64 << 10, DEFAULT_MIB = 256, MOST_MIB = 2100 };

static struct sl_storage storage;
static struct sl_bundle bundle;

struct options {
    const char *folder, *bundle, *root, *device;
    uint64_t slot_size;
    bool json;
};

static int fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "sightline slot: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    return 1;
}

static int open_storage(const char *folder, bool writable)
{
    const char *part = "";
    const int status = sl_storage_open(&storage, folder, writable, &part);
    if (status == -EWOULDBLOCK)
        return fail("%s/%s: in use by the update agent", folder, part);
    return status < 0 ? fail("%s/%s: %s", folder, part, strerror(-status)) : 0;
}

// --- status -------------------------------------------------------------------------------------

static const char *phase_name(uint8_t phase)
{
    static const char *const names[SL_PHASES] = {"idle",      "fetch",  "armed",
                                                 "self-test", "shadow", "probation"};
    return phase < SL_PHASES ? names[phase] : "unknown";
}

// Version texts come from a verified manifest, which may hold any printable character.
static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 32)
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
    putchar('"');
}

static void print_state(const struct sl_ota_state *s, bool json)
{
    const char *active = sl_storage_slot_name((enum sl_slot_name)s->active);
    const char *pending = sl_storage_slot_name((enum sl_slot_name)s->pending);
    const char *result = sl_result_name((enum sl_result)s->result);
    printf(
        json ? "{\"phase\": \"%s\", \"active\": \"%s\", \"pending\": \"%s\", "
               "\"last_result\": \"%s\", \"degraded\": %s, "
               "\"floor\": \"%" PRIu32 ".%" PRIu64 "\", \"root\": %" PRIu32 ", \"denied\": %" PRIu32
               ", \"catalog\": %" PRIu32 ", \"order\": %" PRIu32 ", \"slots\": {"
             : "phase        %s\nactive       %s\npending      %s\nlast result  %s\n"
               "degraded     %s\nfloor        %" PRIu32 ".%" PRIu64 "\nroot         %" PRIu32
               "\ndenied       %" PRIu32 "\ncatalog      %" PRIu32 "\norder        %" PRIu32 "\n",
        phase_name(s->phase), active, pending, result,
        json ? (s->degraded ? "true" : "false") : (s->degraded ? "yes" : "no"), s->floor.epoch,
        s->floor.seq, s->root_version, s->n_denied, s->catalog.number, s->order.number);
}

// Returns whether the slot holds an authentic bundle.
static bool print_slot(enum sl_slot_name slot, const struct sl_trust *trust, bool json)
{
    struct sl_bundle_error error;
    struct sl_bundle_facts facts;
    const enum sl_refusal refusal =
        sl_storage_examine(&storage.slot[slot], trust, &bundle, &facts, &error);
    const bool good = refusal == SL_ACCEPTED;
    char id[2 * SL_OTA_ID + 1] = "";
    if (good)
        sodium_bin2hex(id, sizeof(id), facts.id, SL_OTA_ID);
    if (!json) {
        printf("%-12s ", sl_storage_slot_name(slot));
        if (good)
            printf("%" PRIu32 ".%" PRIu64 " '%s' %s\n", facts.number.epoch, facts.number.seq,
                   bundle.manifest.version, id);
        else
            printf("%s: %s\n", sl_refusal_name(refusal), error.message);
        return good;
    }
    printf("%s\"%s\": {\"authentic\": %s, ", slot == SL_SLOT_A ? "" : ", ",
           sl_storage_slot_name(slot), good ? "true" : "false");
    if (good) {
        printf("\"id\": \"%s\", \"number\": \"%" PRIu32 ".%" PRIu64 "\", \"version\": ", id,
               facts.number.epoch, facts.number.seq);
        print_json_text(bundle.manifest.version);
    } else {
        printf("\"refusal\": \"%s\"", sl_refusal_name(refusal));
    }
    printf("}");
    return good;
}

static int run_status(const struct options *o)
{
    struct sl_ota_state state;
    if (open_storage(o->folder, false) != 0)
        return 1;
    const int status = sl_state_load(&storage.state, &state);
    if (status < 0) {
        sl_storage_close(&storage);
        return fail("%s: no valid state record in either area: %s", o->folder, strerror(-status));
    }
    const struct sl_trust trust = sl_storage_trust(&state);
    bool serves = false;
    print_state(&state, o->json);
    for (enum sl_slot_name slot = SL_SLOT_A; slot < SL_SLOT_NONE; slot++) {
        const bool good = print_slot(slot, &trust, o->json);
        serves = serves || (good && slot == state.active &&
                            memcmp(bundle.super.id, state.active_id, SL_OTA_ID) == 0);
    }
    if (o->json)
        printf("}, \"serves\": %s}\n", serves ? "true" : "false");
    sl_storage_close(&storage);
    return serves ? 0 : fail("%s: the active slot does not hold what the state says", o->folder);
}

// --- provision ----------------------------------------------------------------------------------

// A file of `size` bytes, whatever was there.
static int write_empty(const char *path, uint64_t size)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    int error = posix_fallocate(fd, 0, (off_t)size);
    if (error == 0 && fsync(fd) != 0)
        error = errno;
    close(fd);
    return error;
}

// A part that is there, as a partition is, keeps its size. A file gets its name when it is whole,
// so that one that was interrupted is not taken for a small partition.
static int make_part(const char *folder, const char *name, uint64_t size)
{
    char path[4096], young[4096 + 8];
    struct stat info;
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return fail("%s: name too long", folder);
    if (lstat(path, &info) == 0)
        return 0;
    snprintf(young, sizeof(young), "%s.new", path);
    int error = write_empty(young, size);
    if (error == 0 && rename(young, path) != 0)
        error = errno;
    if (error == 0)
        return 0;
    unlink(young);
    return fail("%s: %s", path, strerror(error));
}

static int sync_folder(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail("%s: %s", folder, strerror(errno));
    const int status = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return status ? fail("%s: %s", folder, strerror(status)) : 0;
}

static int make_parts(const struct options *o)
{
    for (unsigned i = 0; i < 2; i++)
        if (make_part(o->folder, sl_storage_area_name(i), AREA_SIZE) != 0)
            return 1;
    for (enum sl_slot_name i = SL_SLOT_A; i < SL_SLOT_NONE; i++)
        if (make_part(o->folder, sl_storage_slot_name(i), o->slot_size) != 0)
            return 1;
    return 0;
}

static int read_root(const char *path, uint8_t document[SL_DOCUMENT_MAX], struct sl_trust *trust)
{
    static struct sl_device_file file;
    struct sl_bundle_error error;
    int status = sl_device_file_open(&file, path, false);
    if (status < 0)
        return fail("%s: %s", path, strerror(-status));
    const uint64_t size = file.device.size;
    status = size <= SL_DOCUMENT_MAX ? sl_device_read(&file.device, 0, document, size) : -EFBIG;
    sl_device_file_close(&file);
    if (status < 0)
        return fail("%s: %s", path, strerror(-status));
    const struct sl_octets octets = {document, size};
    return sl_trust_document(octets, trust, &error) == SL_ACCEPTED
               ? 0
               : fail("%s: %s: %s", path, sl_refusal_name(error.refusal), error.message);
}

// A camera that could not read its first bundle must not leave the factory.
static enum sl_refusal check_device(const struct options *o, struct sl_bundle_error *error)
{
    uint8_t device[64], key[SL_KEY];
    enum sl_refusal refusal = SL_ACCEPTED;
    if (o->device)
        refusal = sl_key_file_secret(o->device, device, error);
    if (refusal == SL_ACCEPTED && bundle.manifest.encryption.cipher != SL_CIPHER_NONE)
        refusal =
            sl_content_key_open(&bundle.manifest.encryption, o->device ? device : NULL, key, error);
    sodium_memzero(device, sizeof(device));
    sodium_memzero(key, sizeof(key));
    return refusal;
}

// Into A and the golden slot, then read again as a camera will, trusting only what it will.
static int install(const struct options *o, const struct sl_trust *trust,
                   struct sl_ota_state *state)
{
    static const enum sl_slot_name slots[] = {SL_SLOT_GOLDEN, SL_SLOT_A};
    static struct sl_device_file file;
    const struct sl_bundle_policy any = {0};
    struct sl_bundle_error error;
    struct sl_bundle_facts facts;
    const int status = sl_device_file_open(&file, o->bundle, false);
    if (status < 0)
        return fail("%s: %s", o->bundle, strerror(-status));
    struct sl_bundle_source source = sl_storage_source(&file);
    source.exact = true;
    enum sl_refusal refusal = SL_ACCEPTED;
    for (unsigned i = 0; i < 2 && refusal == SL_ACCEPTED; i++) {
        struct sl_device_file *slot = &storage.slot[slots[i]];
        refusal = sl_bundle_verify(&bundle, &source, trust, &any, &error);
        if (refusal == SL_ACCEPTED)
            refusal = check_device(o, &error);
        if (refusal != SL_ACCEPTED)
            break;
        state->root_version = bundle.root.version;
        memcpy(state->root_hash, bundle.root.hash, sizeof(state->root_hash));
        refusal = sl_storage_install(slot, &bundle, &source, &error);
        const struct sl_trust later = sl_storage_trust(state);
        if (refusal == SL_ACCEPTED)
            refusal = sl_storage_examine(slot, &later, &bundle, &facts, &error);
    }
    sl_device_file_close(&file);
    if (refusal != SL_ACCEPTED)
        return fail("%s: %s: %s", o->bundle, sl_refusal_name(refusal), error.message);
    memcpy(state->active_id, facts.id, SL_OTA_ID);
    state->floor = facts.floor;
    return 0;
}

static int provision_open(const struct options *o, const struct sl_trust *trust)
{
    struct sl_ota_state state;
    int status = sl_state_load(&storage.state, &state);
    if (status != -ENODATA)
        return status == 0 ? fail("%s: provisioned already; nothing was changed", o->folder)
                           : fail("%s: state: %s", o->folder, strerror(-status));
    state = (struct sl_ota_state){.active = SL_SLOT_A, .pending = SL_SLOT_NONE};
    if (install(o, trust, &state) != 0)
        return 1;
    status = sl_state_save(&storage.state, &state); // last: until now it is not provisioned
    return status < 0 ? fail("%s: state: %s", o->folder, strerror(-status)) : 0;
}

static int run_provision(const struct options *o)
{
    static uint8_t document[SL_DOCUMENT_MAX];
    struct sl_trust trust;
    if (read_root(o->root, document, &trust) != 0 || make_parts(o) != 0 ||
        sync_folder(o->folder) != 0 || open_storage(o->folder, true) != 0)
        return 1;
    const int status = provision_open(o, &trust);
    sl_storage_close(&storage);
    return status;
}

// --- command line -------------------------------------------------------------------------------

static uint64_t parse_mib(const char *text, struct argp_state *state)
{
    char *end = NULL;
    const unsigned long mib = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || mib < 1 || mib > MOST_MIB)
        argp_error(state, "--size: '%s': expected 1 to %d MiB", text, MOST_MIB);
    return (uint64_t)mib << 20;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'd':
        o->device = text;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case 'r':
        o->root = text;
        return 0;
    case 's':
        o->slot_size = parse_mib(text, state);
        return 0;
    case ARGP_KEY_ARG:
        if (o->folder && o->bundle)
            argp_error(state, "'%s': too many arguments", text);
        *(o->folder ? &o->bundle : &o->folder) = text;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int status_command(int argc, char **argv)
{
    static const char doc[] =
        "Shows what FOLDER, for example /dev/disk/by-partlabel, holds: the state, and of each slot "
        "whether it is an authentic bundle. Changes nothing. Exit status 1 if the active slot is "
        "not what the state says.";
    static const struct argp_option list[] = {{"json", 'j', NULL, 0, "For scripts", 0}, {0}};
    static const struct argp argp = {list, parse, "FOLDER", doc, NULL, NULL, NULL};
    struct options o = {0};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!o.folder || o.bundle) {
        fprintf(stderr, "sightline slot status: expected: FOLDER\n");
        return 2;
    }
    return run_status(&o);
}

static int provision_command(int argc, char **argv)
{
    static const char doc[] =
        "Verifies BUNDLE, writes it to slot A and to the golden slot, and then the first state. "
        "Parts that are missing in FOLDER are made as files. What is provisioned already is not "
        "touched; what was interrupted can be started again.";
    static const struct argp_option list[] = {
        {"root", 'r', "FILE", 0, "The root document to trust", 0},
        {"device-key", 'd', "FILE", 0,
         "Secret key of this camera: a bundle that it cannot decrypt is refused", 0},
        {"size", 's', "MIB", 0, "Size of a slot that is made as a file (256)", 0},
        {0}};
    static const struct argp argp = {list, parse, "FOLDER BUNDLE", doc, NULL, NULL, NULL};
    struct options o = {.slot_size = (uint64_t)DEFAULT_MIB << 20};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (!o.folder || !o.bundle || !o.root) {
        fprintf(stderr, "sightline slot provision: expected: --root FILE FOLDER BUNDLE\n");
        return 2;
    }
    return run_provision(&o);
}

static int usage(FILE *out, int status)
{
    fprintf(out, "Usage: sightline slot ACTION [OPTION...]\n\n"
                 "  status     Show the state and what is in each slot\n"
                 "  provision  Write the first bundle and the first state\n"
                 "  state      Ask the running agent what it does\n"
                 "  update     Let what is armed be tried\n"
                 "  rollback   Go back to the bundle before\n"
                 "  audit      Print and check the agent's log\n"
                 "\n`sightline slot ACTION --help` tells more. Exit status: 0 done, 1 failed or "
                 "refused, 2 usage.\n");
    return status;
}

int main(int argc, char **argv)
{
    static char name[64];
    if (argc < 2)
        return usage(stderr, 2);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return usage(stdout, 0);
    const char *action = argv[1];
    argp_err_exit_status = 2;
    if (sodium_init() < 0)
        return fail("libsodium does not start");
    snprintf(name, sizeof(name), "sightline slot %.40s", action);
    argv[1] = name;
    if (!strcmp(action, "status"))
        return status_command(argc - 1, argv + 1);
    if (!strcmp(action, "provision"))
        return provision_command(argc - 1, argv + 1);
    if (!strcmp(action, "audit"))
        return slot_audit_command(argc - 1, argv + 1);
    if (!strcmp(action, "state"))
        return slot_agent_command("status", argc - 1, argv + 1);
    if (!strcmp(action, "update") || !strcmp(action, "rollback"))
        return slot_agent_command(action, argc - 1, argv + 1);
    fprintf(stderr, "sightline slot: there is no action '%.40s'\n", action);
    return usage(stderr, 2);
}
