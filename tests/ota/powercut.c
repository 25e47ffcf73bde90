// Lives of a camera with a power cut at every device operation, and in the recovery from it.
//
//     powercut [--lives N] [--seed S] [--jobs J]    count what must never happen
//     powercut --mutants [--lives N]                does it notice each defect in the protocol?
//
// The first cut of life i comes at operation 1 + i mod (operations of the same life without a
// cut), so that each is hit; up to eight more follow within a few operations of the next starts.
#include "life.h"

#include <inttypes.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OPS_MAX = 2048, JOBS_MAX = 64 };

struct totals {
    uint64_t lives, boots, cuts, commits, rolled_back, wrong[WRONGS];
    uint64_t in_a_row[LIFE_CUTS + 1]; // lives by number of cuts
    uint64_t first_wrong;             // number of the life, plus one
    uint64_t ops_most, ops_hit;
};

static struct life life;
static bool hit[OPS_MAX];

// Kept running by the plan's cuts, and by those that a bundle causes.
static void live(uint64_t seed, uint64_t first_cut, struct totals *totals)
{
    life_begin(&life, seed);
    unsigned wanted = 1 + (unsigned)(sim_random(&life.power) % LIFE_CUTS), cuts = 0;
    life.power.cut_at = first_cut;
    while (!life_boot(&life)) {
        bool planned = life.power.cut_at > 0 && life.power.ops == life.power.cut_at;
        life_cut(&life);
        totals->cuts++;
        cuts += planned;
        if (cuts > 0 && cuts < wanted)
            life.power.cut_at = 1 + sim_random(&life.power) % 48;
        else if (cuts == 0)
            life.power.cut_at = first_cut;
        if (life.boots > 200)
            break;
    }
    life_check_end(&life);
    totals->in_a_row[cuts]++;
}

// Operations in the longest start of the life if nobody pulls the plug.
static uint64_t ops_of(uint64_t seed)
{
    uint64_t most = 0;
    life_begin(&life, seed);
    for (bool over = false; !over && life.boots < 200;) {
        over = life_boot(&life);
        most = life.power.ops > most ? life.power.ops : most;
        if (!over)
            life_cut(&life);
    }
    return most;
}

static void run_lives(uint64_t seed, uint64_t from, uint64_t to, bool stop, struct totals *t)
{
    // Sixteen lives of one seed share the measured length.
    uint64_t ops = 0;
    for (uint64_t i = from; i < to; i++) {
        uint64_t this_seed = seed * UINT64_C(1000003) + i / 16;
        if (ops == 0 || i % 16 == 0)
            ops = ops_of(this_seed);
        uint64_t first = 1 + (i * 7919 + i / 16) % (ops > 0 ? ops : 1);
        live(this_seed, first, t);
        if (first < OPS_MAX)
            hit[first] = true;
        t->ops_most = ops > t->ops_most ? ops : t->ops_most;
        t->lives++;
        t->boots += life.boots;
        t->commits += life.commits;
        t->wrong[life.wrong]++;
        if (life.wrong != WRONG_NOTHING && t->first_wrong == 0) {
            t->first_wrong = i + 1;
            if (stop)
                break;
        }
    }
    for (unsigned i = 0; i < OPS_MAX; i++)
        t->ops_hit += hit[i];
}

static void add(struct totals *sum, const struct totals *part)
{
    sum->lives += part->lives;
    sum->boots += part->boots;
    sum->cuts += part->cuts;
    sum->commits += part->commits;
    for (unsigned i = 0; i < WRONGS; i++)
        sum->wrong[i] += part->wrong[i];
    for (unsigned i = 0; i <= LIFE_CUTS; i++)
        sum->in_a_row[i] += part->in_a_row[i];
    if (part->first_wrong && (!sum->first_wrong || part->first_wrong < sum->first_wrong))
        sum->first_wrong = part->first_wrong;
    if (part->ops_most > sum->ops_most)
        sum->ops_most = part->ops_most;
    if (part->ops_hit > sum->ops_hit)
        sum->ops_hit = part->ops_hit;
}

// One process for each job; a pipe carries its totals. False: one of them did not come back.
static bool run_jobs(uint64_t seed, uint64_t lives, unsigned jobs, bool stop, struct totals *sum)
{
    int pipes[JOBS_MAX][2];
    bool whole = true;
    fflush(NULL);
    for (unsigned j = 0; j < jobs; j++) {
        if (pipe(pipes[j]) != 0)
            return false;
        pid_t child = fork();
        if (child < 0)
            return false;
        if (child == 0) {
            static struct totals part;
            run_lives(seed, lives * j / jobs, lives * (j + 1) / jobs, stop, &part);
            _exit(write(pipes[j][1], &part, sizeof part) == (ssize_t)sizeof part ? 0 : 1);
        }
        close(pipes[j][1]);
    }
    for (unsigned j = 0; j < jobs; j++) {
        struct totals part;
        int status = 0;
        bool came = read(pipes[j][0], &part, sizeof part) == (ssize_t)sizeof part;
        if (came)
            add(sum, &part);
        close(pipes[j][0]);
        wait(&status);
        whole = whole && came && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return whole;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void print_totals(const struct totals *t, uint64_t seed, double took)
{
    printf("seed %" PRIu64 ": %" PRIu64 " lives, %" PRIu64 " starts, %" PRIu64
           " power cuts, %" PRIu64 " commits, %.0f lives/s\n",
           seed, t->lives, t->boots, t->cuts, t->commits, (double)t->lives / took);
    printf("first cut at each of operations 1 to %" PRIu64 " (%" PRIu64 " of them hit)\n",
           t->ops_most, t->ops_hit);
    printf("lives by cuts in a row:");
    for (unsigned i = 0; i <= LIFE_CUTS; i++)
        printf(" %u: %" PRIu64, i, t->in_a_row[i]);
    printf("\n");
    for (unsigned i = 1; i < WRONGS; i++)
        printf("%8" PRIu64 " %s\n", t->wrong[i], life_wrong_name((enum wrong)i));
    if (t->first_wrong)
        printf("first in life %" PRIu64 "\n", t->first_wrong - 1);
}

static const char *const mutants[] = {
#include "powercut_mutants.inc"
};

// Runs the program that has this one's tests and a protocol with one defect.
static bool is_caught(const char *directory, const char *name, const char *lives)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/powercut-%s", directory, name);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        execl(path, path, "--until-wrong", "--lives", lives, "--jobs", "1", (char *)NULL);
        perror(path);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

static int run_mutants(const char *program, const char *lives)
{
    char directory[4000];
    snprintf(directory, sizeof directory, "%s", program);
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    unsigned caught = 0, n = sizeof mutants / sizeof mutants[0];
    for (unsigned i = 0; i < n; i++) {
        printf("%-28s ", mutants[i]);
        caught += is_caught(slash ? directory : ".", mutants[i], lives);
    }
    printf("%u of %u defects caught\n", caught, n);
    return caught + 1 >= n ? 0 : 1;
}

static int usage(FILE *to, int status)
{
    fputs("usage: powercut [--lives N] [--seed S] [--jobs J] [--until-wrong] [--mutants]\n", to);
    return status;
}

static int run(uint64_t seed, uint64_t lives, unsigned jobs, bool until_wrong)
{
    static struct totals totals;
    double start = seconds();
    life_make_bundles(seed + 1);
    if (!run_jobs(seed, lives, jobs, until_wrong, &totals)) {
        printf("a worker failed\n");
        return 3;
    }
    uint64_t wrong = totals.lives - totals.wrong[WRONG_NOTHING];
    if (until_wrong) {
        unsigned i = 1;
        while (i < WRONGS && totals.wrong[i] == 0)
            i++;
        printf("%s after %" PRIu64 " lives\n",
               i < WRONGS ? life_wrong_name((enum wrong)i) : "NOT CAUGHT", totals.lives);
    } else {
        print_totals(&totals, seed, seconds() - start);
    }
    return wrong > 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"lives", required_argument, NULL, 'l'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"jobs", required_argument, NULL, 'j'},
                                            {"until-wrong", no_argument, NULL, 'u'},
                                            {"mutants", no_argument, NULL, 'm'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *lives = NULL;
    uint64_t seed = 1;
    unsigned long jobs = 2;
    bool until_wrong = false, with_mutants = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'h')
            return usage(stdout, 0);
        if (c == '?')
            return usage(stderr, 2);
        lives = c == 'l' ? optarg : lives;
        seed = c == 's' ? strtoull(optarg, NULL, 10) : seed;
        jobs = c == 'j' ? strtoul(optarg, NULL, 10) : jobs;
        until_wrong = until_wrong || c == 'u';
        with_mutants = with_mutants || c == 'm';
    }
    if (optind < argc || jobs < 1 || jobs > JOBS_MAX || sodium_init() < 0)
        return usage(stderr, 2);
    if (with_mutants)
        return run_mutants(argv[0], lives ? lives : "20000");
    return run(seed, lives ? strtoull(lives, NULL, 10) : 500000, (unsigned)jobs, until_wrong);
}
