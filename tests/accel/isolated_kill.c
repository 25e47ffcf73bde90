// Kills (SIGKILL) or stops (SIGSTOP) the child of the isolated back end in the midst of inferences:
// each verdict must come before its deadline, and the child must be back within a second.
//
//     isolated_kill [--rounds N] [--deadline MS] [--seed S] [--limit MS] [--slack MS]
#include "tests/accel/network.h"

#include "accel/inner.h"
#include "accel/isolated/isolated.h"
#include "accel/registry.h"
#include "accel/tensors.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS         1000000ll
#define MAX_ROUNDS 100000

struct options {
    long rounds, deadline_ms, limit_ms, slack_ms;
    unsigned long seed;
};

struct shot {
    pid_t child;
    int signal;
    int64_t delay_ns;
};

static int64_t verdict_us[MAX_ROUNDS], back_us[MAX_ROUNDS];

static void sleep_ns(int64_t ns)
{
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    nanosleep(&t, NULL);
}

static void *shoot(void *opaque)
{
    const struct shot *shot = opaque;
    sleep_ns(shot->delay_ns);
    kill(shot->child, shot->signal);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_distribution(const char *what, int64_t *us, long count)
{
    qsort(us, (size_t)count, sizeof(*us), compare);
    printf("%-34s median %8.3f ms, 99 %% %8.3f ms, most %8.3f ms\n", what,
           (double)us[count / 2] / 1e3, (double)us[count * 99 / 100] / 1e3,
           (double)us[count - 1] / 1e3);
}

static int run_once(const struct sl_inner *inner, void *program, int64_t deadline_ns,
                    struct sl_error *error)
{
    int status = inner->backend->submit(inner->device, program, error);
    return status ? status : inner->backend->wait(inner->device, program, deadline_ns, error);
}

static int play(const struct sl_inner *inner, void *program, const struct sl_tensors *tensors,
                const void *right, const struct options *o)
{
    struct random random = {o->seed};
    struct sl_error error = {""};
    long answered = 0, failed = 0, wrong = 0, late = 0, slow = 0;
    for (long i = 0; i < o->rounds; i++) {
        pthread_t thread;
        struct shot shot = {sl_isolated_child(inner->device), i % 2 ? SIGSTOP : SIGKILL,
                            random_in(&random, 0, 3 * MS)};
        if (shot.child <= 0 || pthread_create(&thread, NULL, shoot, &shot) != 0)
            return fprintf(stderr, "no child\n"), 1;
        const int64_t start = sl_host.now_ns();
        int64_t deadline_ns = start;
        int status = 0;
        // Inferences until the shot has hit one, as a line would go on.
        while (status == 0) {
            deadline_ns = sl_host.now_ns() + o->deadline_ms * MS;
            memset(tensors->buffers[1].data, 0, tensors->buffers[1].bytes);
            const int64_t begun = sl_host.now_ns();
            status = run_once(inner, program, deadline_ns, &error);
            verdict_us[i] = (sl_host.now_ns() - begun) / 1000;
            answered += status == 0;
            wrong += status == 0 &&
                     memcmp(tensors->buffers[1].data, right, tensors->buffers[1].bytes) != 0;
        }
        const int64_t seen = sl_host.now_ns();
        late += seen > deadline_ns + o->slack_ms * MS;
        failed++;
        pthread_join(thread, NULL);
        while (run_once(inner, program, sl_host.now_ns() + o->limit_ms * MS, &error) != 0 &&
               sl_host.now_ns() - seen < 10 * o->limit_ms * MS)
            sleep_ns(MS / 2);
        back_us[i] = (sl_host.now_ns() - seen) / 1000;
        slow += back_us[i] > o->limit_ms * 1000;
    }
    printf("rounds %ld (seed %lu): %ld inferences answered, %ld ended by a dead or stopped child\n",
           o->rounds, o->seed, answered, failed);
    print_distribution("verdict of the inference that is hit", verdict_us, o->rounds);
    print_distribution("first good answer after that", back_us, o->rounds);
    printf(
        "wrong %ld, verdicts after their deadline of %ld ms %ld, children back after %ld ms %ld\n",
        wrong, o->deadline_ms, late, o->limit_ms, slow);
    return wrong || late || slow;
}

static int test(const struct options *o, struct sl_error *error)
{
    const struct conv_shape shape = {32, 3, 1, 1, 1, 1, 1};
    struct network net;
    struct sl_inner inner;
    struct sl_tensors tensors;
    void *program;
    network_begin(&net, 5);
    uint32_t x = add_map(&net, SL_F32, 1, 16, 64, 64);
    add_input(&net, x);
    add_output(&net, add_conv(&net, add_conv(&net, x, &shape), &shape));
    int status = sl_inner_open(&sl_host, "isolated:cpu", &inner, error);
    if (status)
        return status;
    status = sl_tensors_new(&net.graph, &tensors, error);
    status = status ? status : inner.backend->compile(inner.device, &net.graph, &program, error);
    status =
        status ? status : sl_tensors_bind(&tensors, inner.backend, inner.device, program, error);
    if (status)
        return status;
    fill_random(&net.random, sl_tensors_of(&net.graph, 0), tensors.buffers[0].data);
    status = run_once(&inner, program, INT64_MAX, error);
    void *right = malloc(tensors.buffers[1].bytes);
    if (status || !right)
        return status ? status : -ENOMEM;
    memcpy(right, tensors.buffers[1].data, tensors.buffers[1].bytes);
    status = play(&inner, program, &tensors, right, o);
    inner.backend->release(inner.device, program);
    inner.backend->close(inner.device);
    sl_tensors_free(&tensors);
    network_end(&net);
    free(right);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"rounds", required_argument, NULL, 'r'}, {"deadline", required_argument, NULL, 'd'},
        {"limit", required_argument, NULL, 'l'},  {"slack", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 's'},   {0}};
    struct options o = {
        .rounds = 200, .deadline_ms = 100, .limit_ms = 1000, .slack_ms = 1, .seed = 1};
    struct sl_error error = {""};
    setenv("SIGHTLINE_ACCEL_HOST", SL_BUILD_DIR "/sightline-accel-host", 0);
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        unsigned long value = c == '?' ? 0 : strtoul(optarg, NULL, 10);
        if (value == 0 || (c == 'r' && value > MAX_ROUNDS))
            return 2;
        if (c == 's')
            o.seed = value;
        else
            *(c == 'r'   ? &o.rounds
              : c == 'd' ? &o.deadline_ms
              : c == 'k' ? &o.slack_ms
                         : &o.limit_ms) = (long)value;
    }
    int status = test(&o, &error);
    if (status < 0)
        fprintf(stderr, "isolated_kill: %s\n", error.message);
    return status != 0;
}
