// The thread that starts the child, sees it end, and puts another in its place.
#include "accel/isolated/device.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define MS               ((int64_t)1000000)
#define FIRST_PAUSE_MS   10
#define LONGEST_PAUSE_MS 5000

static void until(struct iso_device *d, int64_t deadline_ns)
{
    struct timespec when = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    if (deadline_ns == INT64_MAX)
        pthread_cond_wait(&d->changed, &d->lock);
    else
        pthread_cond_timedwait(&d->changed, &d->lock, &when);
}

static void wake(struct iso_device *d)
{
    const uint64_t one = 1;
    ssize_t ignored = write(d->wake, &one, sizeof(one));
    (void)ignored;
    pthread_cond_broadcast(&d->changed);
}

// What the child reports becomes the error of the call.
static int ask(struct iso_device *d, struct iso_message *m, int fd, int64_t deadline_ns,
               struct sl_error *error)
{
    int status = child_ask(&d->child, m, fd, deadline_ns, error);
    if (status)
        return status;
    return m->status ? sl_error_set(error, m->status, "%s", m->text) : 0;
}

int keeper_load(struct iso_device *d, uint32_t index, int64_t deadline_ns, struct sl_error *error)
{
    struct iso_program *program = d->programs[index];
    struct iso_message m = {.kind = ISO_LOAD, .program = index, .bytes = program->network_bytes};
    int status = ask(d, &m, program->network, deadline_ns, error);
    if (status == 0)
        program->bytes = m.value;
    return status;
}

int keeper_bind(struct iso_device *d, uint32_t program, uint32_t index, int64_t deadline_ns,
                struct sl_error *error)
{
    const struct sl_buffer *buffer = &d->programs[program]->buffers[index];
    struct iso_message m = {.kind = ISO_BIND,
                            .program = program,
                            .index = index,
                            .offset = buffer->offset,
                            .bytes = buffer->bytes};
    return ask(d, &m, buffer->fd, deadline_ns, error);
}

static int restore(struct iso_device *d, int64_t deadline_ns, struct sl_error *error)
{
    struct iso_message m = {.kind = ISO_OPEN, .value = ISO_PROTOCOL};
    strcpy(m.text, d->inner);
    int status = ask(d, &m, -1, deadline_ns, error);
    for (uint32_t i = 0; status == 0 && i < ISO_PROGRAMS; i++) {
        const struct iso_program *program = d->programs[i];
        if (program)
            status = keeper_load(d, i, deadline_ns, error);
        for (uint32_t k = 0; program && status == 0 && k < program->n_tensors; k++)
            if (program->buffers[k].data)
                status = keeper_bind(d, i, k, deadline_ns, error);
    }
    return status;
}

static int start(struct iso_device *d, struct sl_error *error)
{
    const struct iso_child_options options = {d->path, d->user, (uint32_t)d->memory_mib};
    int status = child_start(&d->child, &options, error);
    if (status)
        return status;
    status = restore(d, d->host->now_ns() + (int64_t)d->start_ms * MS, error);
    if (status) {
        child_kill(&d->child);
        child_forget(&d->child);
    }
    return status;
}

// Until the child ends, or a caller has found it to be broken.
static void watch(struct iso_device *d)
{
    struct pollfd fds[2] = {{d->child.pidfd, POLLIN, 0}, {d->wake, POLLIN, 0}};
    uint64_t ignored;
    while (d->state == ISO_UP) {
        pthread_mutex_unlock(&d->lock);
        poll(fds, 2, -1);
        if (fds[1].revents && read(d->wake, &ignored, sizeof(ignored)) < 0)
            fds[1].revents = 0;
        pthread_mutex_lock(&d->lock);
        if (fds[0].revents && d->state == ISO_UP) {
            char fate[64];
            child_fate(&d->child, fate, sizeof(fate));
            sl_error_set(&d->start_error, 0, "child: %s", fate);
            d->state = ISO_DOWN;
        }
    }
}

// Called and returns with the lock.
static void bury(struct iso_device *d)
{
    child_kill(&d->child);
    while (d->busy)
        until(d, INT64_MAX);
    struct iso_child dead = d->child;
    d->child.pid = 0;
    pthread_mutex_unlock(&d->lock);
    child_forget(&dead);
    pthread_mutex_lock(&d->lock);
    d->generation++;
    d->failed = false;
    pthread_cond_broadcast(&d->changed);
}

// Called and returns with the lock.
static void say_restart(struct iso_device *d)
{
    char text[SL_ERROR_MAX + SL_CONFIG_MAX + 64];
    snprintf(text, sizeof(text), "accelerator 'isolated:%s': %s; starting another", d->inner,
             d->start_error.message);
    pthread_mutex_unlock(&d->lock); // a log may block
    d->host->log(4, text);
    pthread_mutex_lock(&d->lock);
}

static void pause_ms(struct iso_device *d, int64_t ms)
{
    const int64_t end = d->host->now_ns() + ms * MS;
    while (d->state != ISO_CLOSING && d->host->now_ns() < end)
        until(d, end);
}

// One life of a child. Called and returns with the lock.
static int64_t live(struct iso_device *d, int64_t pause)
{
    struct sl_error error = {""};
    d->state = ISO_STARTING;
    pthread_mutex_unlock(&d->lock);
    int status = start(d, &error);
    pthread_mutex_lock(&d->lock);
    d->start_status = status;
    d->start_error = error;
    if (status) {
        d->state = d->state == ISO_CLOSING ? ISO_CLOSING : ISO_DOWN;
        d->generation++;
        pthread_cond_broadcast(&d->changed);
        pause_ms(d, pause);
        return pause < LONGEST_PAUSE_MS / 2 ? pause * 2 : LONGEST_PAUSE_MS;
    }
    if (d->state == ISO_STARTING)
        d->state = ISO_UP;
    pthread_cond_broadcast(&d->changed);
    d->answered = false;
    watch(d);
    bury(d);
    if (d->state == ISO_CLOSING)
        return pause;
    d->restarts++;
    d->state = ISO_STARTING;
    say_restart(d);
    if (d->state == ISO_CLOSING)
        return pause;
    // One that never does any work is not started again and again without a pause.
    if (d->answered)
        return FIRST_PAUSE_MS;
    pause_ms(d, pause);
    return pause < LONGEST_PAUSE_MS / 2 ? pause * 2 : LONGEST_PAUSE_MS;
}

static void *keep(void *opaque)
{
    struct iso_device *d = opaque;
    int64_t pause = FIRST_PAUSE_MS;
    pthread_mutex_lock(&d->lock);
    while (d->state != ISO_CLOSING)
        pause = live(d, pause);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static void destroy(struct iso_device *d)
{
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    close(d->wake);
}

int keeper_start(struct iso_device *d, struct sl_error *error)
{
    pthread_condattr_t clock;
    d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->wake < 0)
        return sl_error_set(error, -errno, "eventfd: %s", strerror(errno));
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&d->changed, &clock);
    pthread_condattr_destroy(&clock);
    d->generation = 1;
    d->state = ISO_STARTING;
    int status = -pthread_create(&d->keeper, NULL, keep, d);
    if (status) {
        destroy(d);
        return sl_error_set(error, status, "thread: %s", strerror(-status));
    }
    pthread_mutex_lock(&d->lock);
    while (d->state == ISO_STARTING)
        until(d, INT64_MAX);
    status = d->start_status;
    if (status)
        sl_error_set(error, status, "%s", d->start_error.message);
    pthread_mutex_unlock(&d->lock);
    if (status)
        keeper_stop(d);
    return status;
}

void keeper_stop(struct iso_device *d)
{
    pthread_mutex_lock(&d->lock);
    d->state = ISO_CLOSING;
    wake(d);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->keeper, NULL);
    destroy(d);
}

static int down(struct iso_device *d, struct sl_error *error)
{
    return sl_error_set(error, -ENODEV, "the child is being replaced: %s",
                        d->start_error.message[0] ? d->start_error.message : "not up yet");
}

int keeper_await(struct iso_device *d, int64_t deadline_ns, struct sl_error *error)
{
    pthread_mutex_lock(&d->lock);
    while (d->state != ISO_UP && d->host->now_ns() < deadline_ns)
        until(d, deadline_ns);
    int status = d->state == ISO_UP ? 0 : down(d, error);
    pthread_mutex_unlock(&d->lock);
    return status;
}

int keeper_enter(struct iso_device *d, struct sl_error *error)
{
    pthread_mutex_lock(&d->lock);
    int status = d->state == ISO_UP ? 0 : down(d, error);
    d->busy = status == 0;
    pthread_mutex_unlock(&d->lock);
    return status;
}

void keeper_leave(struct iso_device *d, bool broken)
{
    pthread_mutex_lock(&d->lock);
    d->busy = false;
    if (broken)
        child_kill(&d->child);
    if (broken && d->state == ISO_UP)
        d->state = ISO_DOWN;
    if (broken || d->state != ISO_UP)
        wake(d);
    pthread_mutex_unlock(&d->lock);
}
