// For the tests: a wall clock that is wrong. Loaded with LD_PRELOAD; TEST_CLOCK is the time at
// which the machine believes to have started, in seconds since 1970. Monotonic clocks are left
// alone.
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define OURS __attribute__((visibility("default")))

OURS int clock_gettime(clockid_t clock, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
        return real(clock, out);
    const char *start = getenv("TEST_CLOCK");
    const int status = real(CLOCK_MONOTONIC, out);
    out->tv_sec += start ? strtoll(start, NULL, 10) : 0;
    return status;
}

OURS time_t time(time_t *out)
{
    struct timespec now = {0, 0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

OURS int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now = {0, 0};
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}
