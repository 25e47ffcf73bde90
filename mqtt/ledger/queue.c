// Verdicts between the caller and the disk, in a ring that outlives the process.
#include "mqtt/ledger/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC   "SLQUEUE"
#define LAYOUT  1u
#define MAX_CAP 1000000u

struct queue_ring {
    char magic[8];
    uint32_t layout, slot_size, capacity, unused;
    _Atomic uint64_t head, tail;
    struct sl_verdict slots[];
};

static size_t size_of(uint32_t capacity)
{
    return sizeof(struct queue_ring) + (size_t)capacity * sizeof(struct sl_verdict);
}

static char *path_of(const char *owner)
{
    const char *runtime = g_getenv("RUNTIME_DIRECTORY");
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, owner, -1);
    const bool given = runtime && runtime[0] == '/' && !strchr(runtime, ':');
    return g_strdup_printf("%s/sightline-queue-%u-%.16s", given ? runtime : "/dev/shm", geteuid(),
                           sum);
}

// Nobody else may have made it, nor read it.
static int open_file(const char *path, int flags)
{
    struct stat st;
    const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
                    (st.st_mode & 077) || st.st_nlink > 1)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_sound(const struct queue_ring *ring, size_t size)
{
    return memcmp(ring->magic, MAGIC, sizeof(ring->magic)) == 0 && ring->layout == LAYOUT &&
           ring->slot_size == sizeof(struct sl_verdict) && ring->capacity > 0 &&
           ring->capacity <= MAX_CAP && size_of(ring->capacity) == size &&
           ring->tail - ring->head <= ring->capacity;
}

static struct queue_ring *map_left(const char *path, size_t *size)
{
    struct stat st;
    const int fd = open_file(path, 0);
    if (fd < 0) {
        return NULL;
    }
    void *map = MAP_FAILED;
    if (fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof(struct queue_ring)) {
        *size = (size_t)st.st_size;
        map = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    }
    close(fd);
    if (map != MAP_FAILED && !is_sound(map, *size)) {
        munmap(map, *size);
        map = MAP_FAILED;
    }
    return map == MAP_FAILED ? NULL : map;
}

// All its memory is there from the beginning: a write must not find that there is none.
static void *map_file(const char *path, size_t size)
{
    const int fd = open_file(path, O_CREAT | O_EXCL);
    void *map = MAP_FAILED;
    if (fd < 0) {
        return NULL;
    }
    if (posix_fallocate(fd, 0, (off_t)size) == 0) {
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    }
    close(fd);
    if (map == MAP_FAILED) {
        unlink(path);
        return NULL;
    }
    return map;
}

static void *map_memory(size_t size)
{
    void *map =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

static void take_over(struct queue *q, const struct queue_ring *left)
{
    const uint64_t head = left->head, tail = left->tail;
    for (uint64_t i = tail - MIN(tail - head, q->capacity); i < tail; i++) {
        struct sl_verdict verdict = left->slots[i % left->capacity];
        verdict.camera[sizeof(verdict.camera) - 1] = '\0';
        queue_push(q, &verdict, verdict.seq);
    }
}

static int make_ring(struct queue *q, const char *path)
{
    q->size = size_of(q->capacity);
    q->ring = path ? map_file(path, q->size) : NULL;
    q->ring = q->ring ? q->ring : map_memory(q->size);
    if (!q->ring) {
        return -ENOMEM;
    }
    memcpy(q->ring->magic, MAGIC, sizeof(q->ring->magic));
    q->ring->layout = LAYOUT;
    q->ring->slot_size = sizeof(struct sl_verdict);
    q->ring->capacity = q->capacity;
    return 0;
}

// The old ring is replaced by a new one that holds what the old one held, at one moment.
int queue_open(struct queue *q, const char *owner, uint32_t capacity)
{
    g_autofree char *path = path_of(owner);
    g_autofree char *fresh = g_strconcat(path, ".new", NULL);
    size_t left_size = 0;
    struct queue_ring *left = map_left(path, &left_size);
    *q = (struct queue){.capacity = CLAMP(capacity, 1, MAX_CAP)};
    unlink(fresh);
    if (make_ring(q, fresh)) {
        if (left) {
            munmap(left, left_size);
        }
        return -ENOMEM;
    }
    if (left) {
        take_over(q, left);
        munmap(left, left_size);
    }
    if (rename(fresh, path) == 0) {
        q->path = g_steal_pointer(&path);
    }
    return 0;
}

void queue_close(struct queue *q)
{
    if (!q->ring) {
        return;
    }
    if (q->path && queue_length(q) == 0) {
        unlink(q->path);
    }
    munmap(q->ring, q->size);
    g_free(q->path);
    *q = (struct queue){.ring = NULL};
}

const struct sl_verdict *queue_at(const struct queue *q, uint64_t at)
{
    return &q->ring->slots[at % q->capacity];
}

void queue_forget(struct queue *q, uint64_t head)
{
    q->head = head;
    atomic_store_explicit(&q->ring->head, head, memory_order_release);
}

bool queue_push(struct queue *q, const struct sl_verdict *verdict, uint64_t seq)
{
    const bool room = queue_length(q) < q->capacity;
    if (!room) {
        queue_forget(q, q->head + 1);
    }
    struct sl_verdict *slot = &q->ring->slots[q->tail % q->capacity];
    *slot = *verdict;
    slot->seq = seq;
    q->tail++;
    atomic_store_explicit(&q->ring->tail, q->tail, memory_order_release);
    return room;
}
