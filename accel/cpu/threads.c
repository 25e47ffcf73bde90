// A fixed set of threads that run the parts of one piece of work together.
#include "accel/cpu/threads.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

// Between two steps of one run the next work comes within microseconds: look that often before
// going to sleep.
#define LOOKS 2000

struct worker {
    struct cpu_threads *threads;
    pthread_t thread;
    uint32_t part;
    int status;
    struct sl_error error;
};

struct cpu_threads {
    uint32_t count;
    atomic_uint round;   // goes up when there is work
    atomic_uint pending; // workers that have not finished it
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    bool stop;
    cpu_part part;
    void *ctx;
    struct worker workers[];
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static unsigned wait_for_round(struct cpu_threads *threads, unsigned seen)
{
    for (int i = 0; i < LOOKS; i++) {
        unsigned now = atomic_load_explicit(&threads->round, memory_order_acquire);
        if (now != seen)
            return now;
        pause_briefly();
    }
    pthread_mutex_lock(&threads->lock);
    while (atomic_load(&threads->round) == seen)
        pthread_cond_wait(&threads->work, &threads->lock);
    unsigned now = atomic_load(&threads->round);
    pthread_mutex_unlock(&threads->lock);
    return now;
}

static void report_done(struct cpu_threads *threads)
{
    if (atomic_fetch_sub(&threads->pending, 1) != 1)
        return;
    pthread_mutex_lock(&threads->lock);
    pthread_cond_signal(&threads->done);
    pthread_mutex_unlock(&threads->lock);
}

static void *work(void *data)
{
    struct worker *worker = data;
    struct cpu_threads *threads = worker->threads;
    for (unsigned seen = 0;;) {
        seen = wait_for_round(threads, seen);
        if (threads->stop)
            return NULL;
        worker->status = threads->part(threads->ctx, worker->part, threads->count, &worker->error);
        report_done(threads);
    }
}

static void announce(struct cpu_threads *threads)
{
    pthread_mutex_lock(&threads->lock);
    atomic_fetch_add_explicit(&threads->round, 1, memory_order_release);
    pthread_cond_broadcast(&threads->work);
    pthread_mutex_unlock(&threads->lock);
}

static void wait_for_workers(struct cpu_threads *threads)
{
    for (int i = 0; i < LOOKS; i++) {
        if (atomic_load(&threads->pending) == 0)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&threads->lock);
    while (atomic_load(&threads->pending) != 0)
        pthread_cond_wait(&threads->done, &threads->lock);
    pthread_mutex_unlock(&threads->lock);
}

int cpu_threads_run(struct cpu_threads *threads, cpu_part part, void *ctx, struct sl_error *error)
{
    if (!threads)
        return part(ctx, 0, 1, error);
    threads->part = part;
    threads->ctx = ctx;
    atomic_store(&threads->pending, threads->count - 1);
    announce(threads);
    int status = part(ctx, 0, threads->count, error);
    wait_for_workers(threads);
    for (uint32_t i = 1; status == 0 && i < threads->count; i++) {
        status = threads->workers[i].status;
        if (status && error)
            *error = threads->workers[i].error;
    }
    return status;
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
    struct cpu_threads *threads = calloc(1, sizeof(*threads) + count * sizeof(struct worker));
    if (!threads)
        return sl_error_set(error, -ENOMEM, "no memory for %u threads", count);
    threads->count = count;
    pthread_mutex_init(&threads->lock, NULL);
    pthread_cond_init(&threads->work, NULL);
    pthread_cond_init(&threads->done, NULL);
    for (uint32_t i = 1; i < count; i++) {
        threads->workers[i].threads = threads;
        threads->workers[i].part = i;
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
