// A ladder whose upper steps fail about every 50th frame, in every way there is: each frame must
// get one verdict, right and in time or declared an error, and nothing may grow.
//
//     ladder_soak [--frames N] [--seed S] [--deadline MS] [--slack MS] [--every N]
//
// Half of the frames run without a cross-check and without steps that lie; the other half with
// both.
#include "tests/accel/network.h"

#include "accel/inner.h"
#include "accel/registry.h"
#include "accel/tensors.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS        1000000ll
#define PICTURES  16
#define SETTLE_NS (60000 * MS)

// A sanitizer keeps what is freed for a while.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SANITIZED)
#define MAX_KIB 100000
#else
#define MAX_KIB 256
#endif

// Memory that was put under a tensor stays open until the program goes: one descriptor for each.
#define TENSORS 2

struct options {
    long frames, deadline_ms, slack_ms, every;
    unsigned long seed;
};

struct counts {
    long frames, verdicts, good, errors, wrong, late, late_errors;
    int64_t worst_ns;
};

struct usage {
    long descriptors, threads, kib;
};

struct line {
    struct network net;
    struct sl_inner inner;
    struct sl_tensors tensors;
    void *program;
    void *pictures[PICTURES], *answers[PICTURES];
};

static atomic_long events[8];

static void count_event(int level, const char *message)
{
    if (strstr(message, "given up"))
        fprintf(stderr, "%s\n", message);
    atomic_fetch_add(&events[level & 7], 1);
}

static long number_in(const char *path, const char *key)
{
    char line[256];
    long value = -1;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtol(line + strlen(key), NULL, 10);
    if (file)
        fclose(file);
    return value;
}

static struct usage usage(void)
{
    struct usage u = {-3, number_in("/proc/self/status", "Threads:"),
                      number_in("/proc/self/status", "RssAnon:")};
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        u.descriptors++;
    if (folder)
        closedir(folder);
    return u;
}

static void build(struct network *net)
{
    const struct conv_shape shape = {8, 3, 1, 1, 1, 1, 1};
    network_begin(net, 5);
    uint32_t x = add_map(net, SL_F32, 1, 4, 16, 16);
    add_input(net, x);
    add_output(net, add_conv(net, add_conv(net, x, &shape), &shape));
}

// What the cpu back end says, without any ladder.
static int make_answers(struct line *line, struct sl_error *error)
{
    struct sl_accel *accel;
    struct sl_program *program;
    int status = sl_accel_open("cpu", &accel, error);
    status = status ? status : sl_accel_load(accel, &line->net.graph, &program, error);
    for (int i = 0; status == 0 && i < PICTURES; i++) {
        size_t in, out;
        void *input = sl_program_input(program, 0, &in);
        const void *output = sl_program_output(program, 0, &out);
        line->pictures[i] = malloc(in);
        line->answers[i] = malloc(out);
        fill_random(&line->net.random, sl_tensors_of(&line->net.graph, 0), line->pictures[i]);
        memcpy(input, line->pictures[i], in);
        status = sl_program_run(program, SL_NO_DEADLINE, error);
        memcpy(line->answers[i], output, out);
    }
    sl_accel_unload(program);
    sl_accel_close(accel);
    return status;
}

static int begin(struct line *line, const struct sl_host *host, const char *config,
                 struct sl_error *error)
{
    build(&line->net);
    int status = make_answers(line, error);
    status = status ? status : sl_tensors_new(&line->net.graph, &line->tensors, error);
    status = status ? status : sl_inner_open(host, config, &line->inner, error);
    if (status)
        return status;
    const struct sl_backend *b = line->inner.backend;
    status = b->compile(line->inner.device, &line->net.graph, &line->program, error);
    return status ? status
                  : sl_tensors_bind(&line->tensors, b, line->inner.device, line->program, error);
}

static void end(struct line *line)
{
    line->inner.backend->release(line->inner.device, line->program);
    line->inner.backend->close(line->inner.device);
    sl_tensors_free(&line->tensors);
    for (int i = 0; i < PICTURES; i++) {
        free(line->pictures[i]);
        free(line->answers[i]);
    }
    network_end(&line->net);
}

static void frame(struct line *line, long number, const struct options *o, struct counts *c)
{
    const struct sl_backend *b = line->inner.backend;
    struct sl_error error;
    const int picture = (int)(number % PICTURES);
    memcpy(line->tensors.buffers[0].data, line->pictures[picture], line->tensors.buffers[0].bytes);
    const int64_t start = sl_host.now_ns(), deadline_ns = start + o->deadline_ms * MS;
    int status = b->submit(line->inner.device, line->program, &error);
    if (status == 0)
        status = b->wait(line->inner.device, line->program, deadline_ns, &error);
    const int64_t now = sl_host.now_ns();
    const bool wrong = memcmp(line->tensors.buffers[1].data, line->answers[picture],
                              line->tensors.buffers[1].bytes) != 0;
    c->frames++;
    c->verdicts++;
    c->good += status == 0;
    c->errors += status != 0;
    c->wrong += status == 0 && wrong;
    const bool late = now > deadline_ns + o->slack_ms * MS;
    c->late += late && status == 0;
    c->late_errors += late && status != 0;
    c->worst_ns = now - start > c->worst_ns ? now - start : c->worst_ns;
}

// Goes on until the first step answers again, and gives what was ended time to be gone. A step that
// is closed while it starts a child on a slow machine would be given up with its descriptors.
static struct usage settled(struct line *line, const struct options *o, struct counts *c)
{
    struct sl_standing standing = {.struct_size = sizeof(standing)};
    const struct timespec pause = {0, 20 * MS};
    const int64_t limit_ns = sl_host.now_ns() + SETTLE_NS;
    for (int i = 0; sl_host.now_ns() < limit_ns; i++) {
        nanosleep(&pause, NULL);
        frame(line, i, o, c);
        line->inner.backend->standing(line->inner.device, &standing);
        if (!standing.reason[0] && i > 5)
            break;
    }
    malloc_trim(0);
    return usage();
}

static int half(const struct options *o, const struct sl_host *host, bool lies, long frames)
{
    char config[SL_CONFIG_MAX];
    struct line line;
    struct sl_error error = {""};
    struct counts c = {0}, other = {0};
    snprintf(config, sizeof(config),
             "ladder:isolated:fault:cpu,fault.random=%ld,fault.seed=%lu,fault.vary=1,"
             "fault.kinds=fail+lost+delay+hang+stuck+crash%s|fault:cpu,fault.random=%ld,"
             "fault.seed=%lu%s|cpu,ladder.retry_ms=1%s",
             o->every, o->seed, lies ? "+wrong" : "", o->every, o->seed + 1,
             lies ? "" : ",fault.kinds=fail+lost+delay+hang+stuck",
             lies ? ",ladder.cross_check=1" : "");
    const struct usage before = usage();
    if (begin(&line, host, config, &error) != 0) {
        fprintf(stderr, "ladder_soak: %s\n", error.message);
        return 1;
    }
    for (long i = 0; i < frames / 4; i++)
        frame(&line, i, o, &c);
    const struct usage early = settled(&line, o, &other);
    for (long i = frames / 4; i < frames; i++)
        frame(&line, i, o, &c);
    const struct usage late = settled(&line, o, &other);
    struct sl_standing s = {.struct_size = sizeof(s)};
    line.inner.backend->standing(line.inner.device, &s);
    end(&line);
    const struct usage after = usage();
    const bool children = waitpid(-1, NULL, WNOHANG) >= 0;
    printf("%s\n  frames %ld, verdicts %ld: good %ld, declared ERROR %ld (late %ld), wrong %ld, "
           "late %ld, "
           "longest %.1f ms of %ld\n",
           config, c.frames, c.verdicts, c.good, c.errors, c.late_errors, c.wrong, c.late,
           (double)c.worst_ns / 1e6, o->deadline_ms);
    printf("  answered by a lower step %llu, steps taken out or back %llu, cross-checks %llu, "
           "alarms %llu\n",
           (unsigned long long)s.fallbacks, (unsigned long long)s.steps,
           (unsigned long long)s.checks, (unsigned long long)s.alarms);
    printf(
        "  grown: descriptors %ld, threads %ld, KiB %ld; left over: descriptors %ld, threads %ld, "
        "children %d\n",
        late.descriptors - early.descriptors, late.threads - early.threads, late.kib - early.kib,
        after.descriptors - before.descriptors, after.threads - before.threads, children);
    return c.verdicts != c.frames || c.wrong || c.late || other.wrong || children ||
           late.descriptors > early.descriptors + TENSORS || late.threads > early.threads ||
           late.kib > early.kib + MAX_KIB || after.descriptors > before.descriptors ||
           after.threads > before.threads || s.fallbacks == 0 || s.steps == 0 ||
           (lies && s.alarms == 0) || c.good < c.frames / 2;
}

static void *return_at_once(void *nothing)
{
    return nothing;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"frames", required_argument, NULL, 'f'},   {"seed", required_argument, NULL, 's'},
        {"deadline", required_argument, NULL, 'd'}, {"slack", required_argument, NULL, 'k'},
        {"every", required_argument, NULL, 'e'},    {0}};
    struct options o = {.frames = 10000, .deadline_ms = 60, .slack_ms = 1, .every = 50, .seed = 1};
    struct sl_host host = sl_host;
    host.log = count_event;
    setenv("SIGHTLINE_ACCEL_HOST", SL_BUILD_DIR "/sightline-accel-host", 0);
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        unsigned long value = c == '?' ? 0 : strtoul(optarg, NULL, 10);
        if (value == 0)
            return 2;
        if (c == 's')
            o.seed = value;
        else
            *(c == 'f'   ? &o.frames
              : c == 'd' ? &o.deadline_ms
              : c == 'k' ? &o.slack_ms
                         : &o.every) = (long)value;
    }
    pthread_t first; // a sanitizer adds a thread of its own to it
    if (pthread_create(&first, NULL, return_at_once, NULL) == 0)
        pthread_join(first, NULL);
    int failed = half(&o, &host, false, o.frames / 2);
    failed |= half(&o, &host, true, o.frames - o.frames / 2);
    printf("seed %lu, events: %ld errors, %ld warnings\n", o.seed, atomic_load(&events[3]),
           atomic_load(&events[4]));
    return failed;
}
