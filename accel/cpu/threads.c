// A fixed set of threads that share out the pieces of one piece of work.
//
// Each thread begins with a share of its own and takes it from the front, a part at a time; who has
// finished takes from the end of what the others have left. A thread that does not get a processor
// holds nobody up: who comes after everything was begun is not waited for.
#include "accel/cpu/threads.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Between two steps of one run the next work comes within microseconds: look that often before
// going to sleep.
#define LOOKS 2000

// Takes from a share: few enough that calls cost little, many enough that threads of different
// speeds end together.
enum { TAKES = 8 };

struct worker {
    _Alignas(64) atomic_uint_fast64_t left; // of its share: the first piece and, << 32, the end
    struct cpu_threads *threads;
    pthread_t thread;
    uint32_t number;
    int status;
    uint32_t failed; // the piece
    struct sl_error error;
};

#define OPEN   (1ull << 31) // in `gate`: whoever comes may still join
#define JOINED (OPEN - 1)   // how many have

struct cpu_threads {
    uint32_t count;
    uint32_t least; // pieces of one take
    bool stop;
    atomic_bool waiting; // the caller, for `done`
    atomic_uint sleeping, finished;
    atomic_uint_fast64_t gate; // the number of the round << 32, OPEN, and how many joined
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    cpu_pieces pieces;
    void *ctx;
    struct worker workers[];
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static uint32_t round_of(uint64_t gate)
{
    return (uint32_t)(gate >> 32);
}

static uint32_t wait_for_round(struct cpu_threads *threads, uint32_t seen)
{
    for (int i = 0; i < LOOKS; i++) {
        const uint32_t now = round_of(atomic_load_explicit(&threads->gate, memory_order_acquire));
        if (now != seen)
            return now;
        pause_briefly();
    }
    pthread_mutex_lock(&threads->lock);
    atomic_fetch_add(&threads->sleeping, 1);
    while (round_of(atomic_load(&threads->gate)) == seen)
        pthread_cond_wait(&threads->work, &threads->lock);
    atomic_fetch_sub(&threads->sleeping, 1);
    pthread_mutex_unlock(&threads->lock);
    return round_of(atomic_load(&threads->gate));
}

static bool join(struct cpu_threads *threads, uint32_t number)
{
    uint64_t gate = atomic_load(&threads->gate);
    while (round_of(gate) == number && (gate & OPEN))
        if (atomic_compare_exchange_weak(&threads->gate, &gate, gate + 1))
            return true;
    return false;
}

static bool take(const struct cpu_threads *threads, struct worker *from, bool is_own,
                 uint32_t *first, uint32_t *end)
{
    uint64_t left = atomic_load_explicit(&from->left, memory_order_relaxed), rest;
    do {
        *first = (uint32_t)left;
        *end = (uint32_t)(left >> 32);
        if (*first >= *end)
            return false;
        uint32_t count = (*end - *first + 3) / 4;
        count = count < threads->least ? threads->least : count;
        count = count > *end - *first ? *end - *first : count;
        if (is_own) {
            rest = (uint64_t)*end << 32 | (*first + count);
            *end = *first + count;
        } else {
            rest = (uint64_t)(*end - count) << 32 | *first;
            *first = *end - count;
        }
    } while (!atomic_compare_exchange_weak_explicit(&from->left, &left, rest, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void run_share(struct worker *worker, struct worker *of)
{
    struct cpu_threads *threads = worker->threads;
    uint32_t first, end;
    while (take(threads, of, of == worker, &first, &end)) {
        struct sl_error error;
        const int status = threads->pieces(threads->ctx, worker->number, first, end, &error);
        if (status < 0 && (worker->status == 0 || first < worker->failed)) {
            worker->status = status;
            worker->failed = first;
            worker->error = error;
        }
    }
}

static void run_shares(struct worker *worker)
{
    struct cpu_threads *threads = worker->threads;
    for (uint32_t i = 0; i < threads->count; i++)
        run_share(worker, &threads->workers[(worker->number + i) % threads->count]);
}

static void report_done(struct cpu_threads *threads)
{
    atomic_fetch_add(&threads->finished, 1);
    if (!atomic_load(&threads->waiting))
        return;
    pthread_mutex_lock(&threads->lock);
    pthread_cond_signal(&threads->done);
    pthread_mutex_unlock(&threads->lock);
}

static void *work(void *data)
{
    struct worker *worker = data;
    struct cpu_threads *threads = worker->threads;
    for (uint32_t seen = 0;;) {
        seen = wait_for_round(threads, seen);
        if (!join(threads, seen))
            continue;
        if (threads->stop)
            return NULL;
        run_shares(worker);
        report_done(threads);
    }
}

static void announce(struct cpu_threads *threads)
{
    const uint64_t round = round_of(atomic_load(&threads->gate)) + 1u;
    atomic_store(&threads->gate, (round & UINT32_MAX) << 32 | OPEN);
    if (atomic_load(&threads->sleeping) == 0)
        return;
    pthread_mutex_lock(&threads->lock);
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
}

static void wait_for_workers(struct cpu_threads *threads)
{
    const uint32_t joined = (uint32_t)(atomic_fetch_and(&threads->gate, ~OPEN) & JOINED);
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load(&threads->finished) == joined)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&threads->lock);
    atomic_store(&threads->waiting, true);
    while (atomic_load(&threads->finished) != joined)
        pthread_cond_wait(&threads->done, &threads->lock);
    atomic_store(&threads->waiting, false);
    pthread_mutex_unlock(&threads->lock);
}

static int lowest_failure(const struct cpu_threads *threads, struct sl_error *error)
{
    const struct worker *lowest = NULL;
    for (uint32_t i = 0; i < threads->count; i++) {
        const struct worker *w = &threads->workers[i];
        if (w->status < 0 && (!lowest || w->failed < lowest->failed))
            lowest = w;
    }
    if (lowest && error)
        *error = lowest->error;
    return lowest ? lowest->status : 0;
}

int cpu_threads_run(struct cpu_threads *threads, uint32_t count, cpu_pieces pieces, void *ctx,
                    struct sl_error *error)
{
    if (count == 0)
        return 0;
    if (!threads || count == 1)
        return pieces(ctx, 0, 0, count, error);
    const uint64_t n = threads->count;
    threads->pieces = pieces;
    threads->ctx = ctx;
    threads->least = (uint32_t)((count + n * TAKES - 1) / (n * TAKES));
    for (uint64_t i = 0; i < n; i++) {
        struct worker *w = &threads->workers[i];
        w->status = 0;
        atomic_store_explicit(&w->left, (i + 1) * count / n << 32 | i * count / n,
                              memory_order_relaxed);
    }
    atomic_store(&threads->finished, 0);
    announce(threads);
    run_shares(&threads->workers[0]);
    wait_for_workers(threads);
    return lowest_failure(threads, error);
}

uint32_t cpu_threads_count(const struct cpu_threads *threads)
{
    return threads ? threads->count : 1;
}

static void stop_first(struct cpu_threads *threads, uint32_t started)
{
    threads->stop = true;
    announce(threads);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(threads->workers[i].thread, NULL);
    pthread_cond_destroy(&threads->work);
    pthread_cond_destroy(&threads->done);
    pthread_mutex_destroy(&threads->lock);
    free(threads);
}

static int start_worker(struct worker *worker, const struct cpu_affinity *affinity)
{
    pthread_attr_t attributes;
    int status = pthread_attr_init(&attributes);
    if (status)
        return status;
    if (affinity->limited)
        status = pthread_attr_setaffinity_np(&attributes, sizeof(affinity->processors),
                                             &affinity->processors);
    if (status == 0)
        status = pthread_create(&worker->thread, &attributes, work, worker);
    pthread_attr_destroy(&attributes);
    return status;
}

int cpu_threads_start(uint32_t count, const struct cpu_affinity *affinity, struct cpu_threads **out,
                      struct sl_error *error)
{
    *out = NULL;
    if (count == 1)
        return 0;
    const size_t bytes = sizeof(struct cpu_threads) + count * sizeof(struct worker);
    struct cpu_threads *threads = aligned_alloc(_Alignof(struct cpu_threads), bytes);
    if (!threads)
        return sl_error_set(error, -ENOMEM, "no memory for %u threads", count);
    memset(threads, 0, bytes);
    threads->count = count;
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->work, NULL);
    pthread_cond_init(&threads->done, NULL);
    for (uint32_t i = 0; i < count; i++) {
        threads->workers[i].threads = threads;
        threads->workers[i].number = i;
    }
    for (uint32_t i = 1; i < count; i++) {
        int status = start_worker(&threads->workers[i], affinity);
        if (status) {
            stop_first(threads, i);
            return sl_error_set(error, -status, "thread %u of %u cannot be started", i, count);
        }
    }
    *out = threads;
    return 0;
}

void cpu_threads_stop(struct cpu_threads *threads)
{
    if (threads)
        stop_first(threads, threads->count);
}
