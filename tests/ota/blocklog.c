// Updates on a block layer that writes down every write and flush, and then a camera's start on
// what a power cut would have left: after each write, torn ones, and flushed ones in any order.
//
//     blocklog [--states N]
//
// qemu-storage-daemon's blklogwrites lies under a file that it exports by FUSE; the parts are
// ranges of this file. The bundles are real ones, and so is the verifier. Exit status: 0 every
// state starts with an authentic bundle at or above the first floor, 1 not, 77 no FUSE or no
// qemu-storage-daemon here.
#include "bundle_make.h"

#include "ota/bundle/load.h"
#include "ota/slot.h"
#include "ota/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SECTOR = 512,
    AREA = 64 << 10,
    SLOT = 1 << 20,
    DISK = 2 * AREA + 3 * SLOT,
    BUNDLES = 4, // installed, good, crashes, better
    LOG_FLUSH = 1,
    SKIP = 77
};

// A range of a device that is not this program's, or of memory.
struct part {
    struct sl_ota_device device;
    struct sl_ota_device *disk;
    uint8_t *memory;
    uint64_t start;
};

struct camera {
    struct part area[2], slot[3];
    struct sl_state_store store;
    struct sl_agent agent;
    struct sl_slot_writer writer;
};

struct entry {
    uint64_t sector, count, flags, data; // data: where in the log
};

static struct made made[BUNDLES];
static struct sl_bundle bundle;
static struct sl_trust trust;
static uint8_t *first, *replayed, *state, *log_octets;
static struct entry *entries;
static size_t n_entries;
static uint64_t log_size, seed = 88172645463325252u;

static uint64_t random64(void)
{
    // xorshift64, G. Marsaglia
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static int die(const char *what, int error)
{
    fprintf(stderr, "blocklog: %s: %s\n", what, strerror(error));
    exit(2);
}

// --- devices ------------------------------------------------------------------------------------

static struct part *part_of(struct sl_ota_device *device)
{
    return (struct part *)(void *)device; // first member
}

static int part_read(struct sl_ota_device *device, uint64_t offset, void *bytes, size_t size)
{
    struct part *p = part_of(device);
    if (p->disk)
        return sl_device_read(p->disk, p->start + offset, bytes, size);
    memcpy(bytes, p->memory + p->start + offset, size);
    return 0;
}

static int part_write(struct sl_ota_device *device, uint64_t offset, const void *bytes, size_t size)
{
    struct part *p = part_of(device);
    if (p->disk)
        return sl_device_write(p->disk, p->start + offset, bytes, size);
    memcpy(p->memory + p->start + offset, bytes, size);
    return 0;
}

static int part_flush(struct sl_ota_device *device)
{
    struct part *p = part_of(device);
    return p->disk ? sl_device_flush(p->disk) : 0;
}

static void open_parts(struct camera *c, struct sl_ota_device *disk, uint8_t *memory)
{
    static const struct sl_ota_device_ops ops = {part_read, part_write, part_flush};
    uint64_t at = 0;
    for (int i = 0; i < 5; i++) {
        const uint64_t size = i < 2 ? AREA : SLOT;
        struct part *p = i < 2 ? &c->area[i] : &c->slot[i - 2];
        *p = (struct part){{&ops, size}, disk, memory, at};
        at += size;
    }
    if (sl_state_open(&c->store, &c->area[0].device, &c->area[1].device) != 0)
        die("state areas", EINVAL);
}

// --- the camera ---------------------------------------------------------------------------------

static int port_load(void *context, struct sl_ota_state *s)
{
    return sl_state_load(&((struct camera *)context)->store, s);
}

static int port_save(void *context, const struct sl_ota_state *s)
{
    return sl_state_save(&((struct camera *)context)->store, s);
}

static int port_seal(void *context, enum sl_slot_name slot)
{
    (void)slot;
    return sl_slot_finish(&((struct camera *)context)->writer);
}

static int read_slot(void *ctx, uint64_t offset, void *out, size_t size)
{
    return sl_device_read(ctx, offset, out, size);
}

static int port_authentic(void *context, enum sl_slot_name slot, struct sl_bundle_facts *facts)
{
    struct camera *c = context;
    const struct sl_bundle_policy any = {0};
    const struct sl_bundle_source source = {read_slot, &c->slot[slot].device, SLOT, false};
    if (sl_bundle_verify(&bundle, &source, &trust, &any, NULL) != SL_ACCEPTED ||
        sl_bundle_verify_payload(&bundle, &source, NULL, NULL, NULL) != SL_ACCEPTED)
        return -EBADMSG;
    *facts = sl_storage_facts(&bundle);
    return 0;
}

static uint64_t port_now(void *context)
{
    (void)context;
    return 1000;
}

static uint32_t port_random(void *context)
{
    (void)context;
    return 4;
}

static int start(struct camera *c, enum sl_agent_action *action)
{
    const struct sl_agent_ports ports = {c,        port_load,  port_save, port_seal, port_authentic,
                                         port_now, port_random};
    const struct sl_agent_limits limits = {100000, 100000, 100000, 500, 5};
    return sl_agent_start(&c->agent, &ports, &limits, action);
}

static struct sl_slot_image image_of(const struct made *m)
{
    return (struct sl_slot_image){m->bytes, m->super.payload_at, SL_CHUNK, m->super.payload,
                                  m->bytes + m->super.chunk_list_at};
}

static int fetch(struct camera *c, const struct made *m)
{
    static uint8_t room[SL_CHUNK];
    const struct sl_slot_image image = image_of(m);
    int status = sl_slot_begin(&c->writer, &c->slot[c->agent.state.pending].device, &image, room,
                               sizeof(room));
    for (uint32_t i = c->writer.n_chunks; status == 0 && i-- > 0;)
        status = sl_slot_put(&c->writer, i, m->payload + (size_t)i * SL_CHUNK,
                             sl_slot_chunk_size(&c->writer, i));
    return status;
}

// One update until it is over; `crashes`: each try of it does.
static int update(struct camera *c, const struct made *m, bool crashes)
{
    struct sl_agent_event event = {.kind = SL_EVENT_OFFER};
    enum sl_agent_action action;
    struct part memory = {{c->slot[0].device.ops, m->size}, NULL, m->bytes, 0};
    const struct sl_bundle_policy any = {0};
    const struct sl_bundle_source source = {read_slot, &memory.device, m->size, true};
    if (sl_bundle_verify(&bundle, &source, &trust, &any, NULL) != SL_ACCEPTED)
        return -EBADMSG;
    event.facts = sl_storage_facts(&bundle);
    for (int i = 0; i < 20; i++) {
        int status = sl_agent_handle(&c->agent, &event, &action);
        if (status == 0 && action == SL_ACTION_FETCH)
            status = fetch(c, m);
        if (status < 0 || c->agent.state.phase == SL_PHASE_IDLE)
            return status;
        event.kind = action == SL_ACTION_FETCH  ? SL_EVENT_FETCHED
                     : action == SL_ACTION_WAIT ? SL_EVENT_GATE_OPEN
                     : crashes                  ? SL_EVENT_CRASHED
                                                : SL_EVENT_PASSED;
    }
    return -ELOOP;
}

static void make_bundles(void)
{
    for (uint32_t i = 0; i < BUNDLES; i++) {
        made_begin(&made[i]);
        made[i].manifest.number = (struct sl_bundle_number){2, 40 + i};
        made[i].manifest.floor = (struct sl_bundle_number){2, 30 + i};
        made_component(&made[i], "weights", 2 * SL_CHUNK + 1000 + i);
        made_encode(&made[i]);
        made_sign(&made[i], "xy");
        made_finish(&made[i]);
    }
    trust = made_trust(&made[0]);
}

static void provision(void)
{
    static struct camera c;
    struct sl_ota_state s = {.active = SL_SLOT_A, .pending = SL_SLOT_NONE, .floor = {2, 30}};
    memcpy(s.active_id, made[0].super.id, SL_OTA_ID);
    open_parts(&c, NULL, first);
    memcpy(first + c.slot[SL_SLOT_A].start, made[0].bytes, made[0].size);
    memcpy(first + c.slot[SL_SLOT_GOLDEN].start, made[0].bytes, made[0].size);
    sl_state_save(&c.store, &s);
}

// --- recording ----------------------------------------------------------------------------------

static void write_file(const char *path, const uint8_t *octets, size_t size)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || (size > 0 && write(fd, octets, size) != (ssize_t)size) || close(fd) != 0)
        die(path, errno);
}

static uint8_t *read_file(const char *path, uint64_t *size)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0)
        die(path, errno);
    uint8_t *octets = malloc((size_t)info.st_size + 1);
    if (!octets || read(fd, octets, (size_t)info.st_size) != info.st_size)
        die(path, errno);
    close(fd);
    *size = (uint64_t)info.st_size;
    return octets;
}

static pid_t start_daemon(void)
{
    const pid_t child = fork();
    if (child == 0) {
        execlp("qemu-storage-daemon", "qemu-storage-daemon", "--blockdev",
               "driver=file,node-name=disk,filename=disk", "--blockdev",
               "driver=file,node-name=log,filename=log", "--blockdev",
               "driver=blklogwrites,node-name=logged,file=disk,log=log,log-sector-size=512",
               "--export", "type=fuse,id=camera,node-name=logged,mountpoint=export,writable=on",
               (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500; i++) {
        struct stat info;
        if (stat("export", &info) == 0 && info.st_size == DISK)
            return child;
        if (waitpid(child, NULL, WNOHANG) == child)
            return -1; // no program, or no FUSE
        usleep(10000);
    }
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    return -1;
}

static bool record(void)
{
    static struct camera c;
    static struct sl_device_file file;
    enum sl_agent_action action;
    const pid_t daemon = start_daemon();
    if (daemon < 0)
        return false;
    int status = sl_device_file_open(&file, "export", true);
    if (status < 0)
        die("export", -status);
    open_parts(&c, &file.device, NULL);
    status = start(&c, &action);
    for (uint32_t i = 1; i < BUNDLES && status == 0; i++)
        status = update(&c, &made[i], i == 2);
    if (status < 0 || memcmp(c.agent.state.active_id, made[3].super.id, SL_OTA_ID) != 0 ||
        !sl_state_is_denied(&c.agent.state, made[2].super.id))
        die("the updates did not end as they should", -status);
    sl_device_file_close(&file);
    kill(daemon, SIGTERM);
    waitpid(daemon, &status, 0);
    return true;
}

// --- the log: a block with numbers, then a block for each entry and its data --------------------

static uint64_t le64(const uint8_t *p)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

static void read_log(void)
{
    log_octets = read_file("log", &log_size);
    n_entries = log_size >= SECTOR ? (size_t)le64(log_octets + 16) : 0;
    entries = calloc(n_entries + 1, sizeof(*entries));
    uint64_t at = SECTOR;
    for (size_t i = 0; i < n_entries; i++) {
        if (!entries || at + SECTOR > log_size)
            die("the log is shorter than it says", EIO);
        entries[i] = (struct entry){le64(log_octets + at), le64(log_octets + at + 8),
                                    le64(log_octets + at + 16), at + SECTOR};
        at += SECTOR + entries[i].count * SECTOR;
        if (at > log_size || (entries[i].sector + entries[i].count) * SECTOR > DISK)
            die("the log has an entry that cannot be", EIO);
    }
}

static void apply_sector(uint8_t *disk, const struct entry *e, uint64_t i)
{
    memcpy(disk + (e->sector + i) * SECTOR, log_octets + e->data + i * SECTOR, SECTOR);
}

static void apply(uint8_t *disk, const struct entry *e)
{
    for (uint64_t i = 0; i < e->count; i++)
        apply_sector(disk, e, i);
}

// Part of a write: each sector old, new, or half of both.
static void apply_torn(uint8_t *disk, const struct entry *e)
{
    for (uint64_t i = 0; i < e->count; i++) {
        const uint64_t fate = random64() % 4;
        if (fate == 3)
            memcpy(disk + (e->sector + i) * SECTOR, log_octets + e->data + i * SECTOR,
                   1 + random64() % (SECTOR - 1));
        else if (fate > 0)
            apply_sector(disk, e, i);
    }
}

// --- states -------------------------------------------------------------------------------------

static bool boots(const char *kind, size_t at)
{
    static struct camera c;
    enum sl_agent_action action = SL_ACTION_WAIT;
    struct sl_bundle_facts facts;
    open_parts(&c, NULL, state);
    const int status = start(&c, &action);
    const enum sl_slot_name active = (enum sl_slot_name)c.agent.state.active;
    if (status == 0 && active < SL_SLOT_NONE && port_authentic(&c, active, &facts) == 0 &&
        !sl_number_below(facts.number, (struct sl_number){2, 30}) &&
        !sl_state_is_denied(&c.agent.state, facts.id))
        return true;
    printf("%s state after entry %zu of the log: start %d, active %d\n", kind, at, status, active);
    return false;
}

// `replayed` holds what was flushed before entry `from`; entries up to `to` are in the cache.
static unsigned try_states(size_t from, size_t to, unsigned each, uint64_t counts[3])
{
    unsigned bad = 0;
    memcpy(state, replayed, DISK);
    for (size_t i = from; i < to; i++)
        apply(state, &entries[i]);
    bad += !boots("prefix", to);
    counts[0]++;
    for (unsigned k = 0; k < each; k++) {
        const bool torn = k % 2 == 0;
        memcpy(state, replayed, DISK);
        for (size_t i = from; i < to; i++)
            if (torn && i + 1 == to)
                apply_torn(state, &entries[i]);
            else if (torn || random64() % 2)
                apply(state, &entries[i]); // reordered: this one came before the cut, others not
        bad += !boots(torn ? "torn" : "reordered", to);
        counts[torn ? 1 : 2]++;
    }
    return bad;
}

static unsigned try_all(uint64_t wanted, uint64_t counts[3])
{
    size_t writes = 0, from = 0;
    unsigned bad = 0;
    for (size_t i = 0; i < n_entries; i++)
        writes += entries[i].count > 0;
    const unsigned each = (unsigned)(wanted / (writes > 0 ? writes : 1) + 1);
    memcpy(replayed, first, DISK);
    for (size_t i = 0; i < n_entries; i++) {
        if (entries[i].count > 0)
            bad += try_states(from, i + 1, each, counts);
        if (entries[i].flags & LOG_FLUSH) {
            for (; from <= i; from++)
                apply(replayed, &entries[from]);
        }
    }
    for (; from < n_entries; from++)
        apply(replayed, &entries[from]);
    return bad;
}

static int run(uint64_t wanted)
{
    uint64_t counts[3] = {0}, size;
    make_bundles();
    first = calloc(1, DISK);
    replayed = calloc(1, DISK);
    state = calloc(1, DISK);
    if (!first || !replayed || !state)
        die("memory", ENOMEM);
    provision();
    write_file("disk", first, DISK);
    write_file("log", NULL, 0);
    if (truncate("log", 64 << 20) != 0)
        die("log", errno);
    write_file("export", NULL, 0);
    if (!record()) {
        printf("no qemu-storage-daemon, or no FUSE here\n");
        return SKIP;
    }
    read_log();
    const unsigned bad = try_all(wanted, counts);
    uint8_t *disk = read_file("disk", &size);
    const bool same = size == DISK && memcmp(disk, replayed, DISK) == 0;
    free(disk);
    if (!same) {
        printf("the log does not give the disk\n");
        return 1;
    }
    printf("%zu entries in the log; %llu prefix, %llu torn and %llu reordered states, %u without a "
           "bootable authentic bundle\n",
           n_entries, (unsigned long long)counts[0], (unsigned long long)counts[1],
           (unsigned long long)counts[2], bad);
    return bad > 0 || n_entries < 50;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"states", required_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    uint64_t states = 2000;
    char folder[] = "/tmp/sl-blocklog-XXXXXX";
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c != 's')
            return 2;
        states = strtoull(optarg, NULL, 10);
    }
    if (sodium_init() < 0 || !mkdtemp(folder) || chdir(folder) < 0)
        die(folder, errno);
    const int status = run(states);
    unlink("disk");
    unlink("log");
    unlink("export");
    if (chdir("/") < 0 || rmdir(folder) < 0)
        perror(folder);
    return status;
}
