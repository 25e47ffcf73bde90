// Waiting for a device without spinning: the driver's callback wakes the waiter.
#include "accel/opencl/program.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct ocl_signal *ocl_signal_new(void)
{
    struct ocl_signal *s = calloc(1, sizeof(*s));
    pthread_condattr_t attrs;
    if (!s)
        return NULL;
    pthread_condattr_init(&attrs);
    pthread_condattr_setclock(&attrs, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->done, &attrs);
    pthread_condattr_destroy(&attrs);
    s->holders = 1;
    return s;
}

void ocl_signal_drop(struct ocl_signal *s)
{
    pthread_mutex_lock(&s->lock);
    const bool last = --s->holders == 0;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

// In a thread of the driver's.
static void came(cl_event event, int32_t status, void *ctx)
{
    struct ocl_signal *s = ctx;
    (void)event;
    pthread_mutex_lock(&s->lock);
    s->seen++;
    s->status = status;
    pthread_cond_signal(&s->done);
    pthread_mutex_unlock(&s->lock);
    ocl_signal_drop(s);
}

int ocl_signal_ask(struct ocl_device *device, struct ocl_signal *s, struct sl_error *error)
{
    cl_event event = NULL;
    int32_t why = device->cl->marker(device->queue, 0, NULL, &event);
    if (why != CL_SUCCESS)
        return ocl_fail(error, why, "marker");
    pthread_mutex_lock(&s->lock);
    s->holders++;
    s->sent++;
    pthread_mutex_unlock(&s->lock);
    why = device->cl->on_event(event, CL_COMPLETE, came, s);
    device->cl->release_event(event);
    if (why != CL_SUCCESS) {
        pthread_mutex_lock(&s->lock);
        s->holders--;
        s->sent--;
        pthread_mutex_unlock(&s->lock);
        return ocl_fail(error, why, "callback");
    }
    why = device->cl->flush(device->queue);
    return why == CL_SUCCESS ? 0 : ocl_fail(error, why, "flush");
}

int ocl_signal_wait(struct ocl_signal *s, int64_t deadline_ns, struct sl_error *error)
{
    const struct timespec until = {deadline_ns / 1000000000, deadline_ns % 1000000000};
    int result = 0;
    pthread_mutex_lock(&s->lock);
    while (s->seen < s->sent && result == 0)
        result = pthread_cond_timedwait(&s->done, &s->lock, &until);
    const bool done = s->seen >= s->sent;
    const int32_t status = s->status;
    pthread_mutex_unlock(&s->lock);
    if (!done)
        return sl_error_set(error, -ETIMEDOUT, "opencl: not ready by the deadline");
    if (status < 0)
        return sl_error_set(error, -ENODEV, "opencl: the device failed while it ran (%d)", status);
    return 0;
}
