// `sightline`: one command with sub-commands. What is not built in is a program `sightline-VERB`
// beside this one or in the libexec folder, as git does it; so a folder needs no place here, and a
// user can add a verb.
#include "inference/commands.h"
#include "pipeline/commands.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct verb {
    const char *name, *summary;
    int (*run)(int argc, char **argv); // NULL: a program of its own
};

static int bench(int argc, char **argv);

static const struct verb verbs[] = {
    {"run", "Inspect with the cameras of a configuration file", sl_command_run},
    {"watch", "Show verdicts live", sl_command_watch},
    {"status", "Show the health of every camera", sl_command_status},
    {"check", "Check a configuration file", sl_command_check},
    {"eval", "Measure a model on labelled pictures", sl_command_eval},
    {"bench", "Measure speed: of a network, of the whole path, or of the ledger", bench},
    {"accel", "List, test and time what can run a network", sl_command_accel},
    {"model", "Show, prune, quantise and compare models", NULL},
    {"bundle", "Make, sign and check model bundles", NULL},
    {"slot", "Prepare and show the slots that models live in", NULL},
    {"simulate", "Write pictures of simulated boards", NULL},
    {"ledger", "List, export, verify or send again the recorded verdicts", NULL},
};
enum { N_VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void usage(FILE *out)
{
    fprintf(out, "usage: sightline VERB [OPTION...]\n\n");
    for (int i = 0; i < N_VERBS; i++)
        fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(out, "\n`sightline VERB --help` tells more. Exit status: 0 done, 1 failed, 2 usage.\n");
}

static const struct verb *find_verb(const char *name)
{
    for (int i = 0; i < N_VERBS; i++)
        if (!strcmp(name, verbs[i].name))
            return &verbs[i];
    return NULL;
}

static bool is_verb(const char *text)
{
    return *text && text[strspn(text, "abcdefghijklmnopqrstuvwxyz-")] == '\0' && *text != '-';
}

// Folder of this program, then the one it was configured with.
static bool find_program(const char *verb, char *path, size_t size)
{
    char self[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length > 0) {
        self[length] = '\0';
        snprintf(path, size, "%s/sightline-%s", dirname(self), verb);
        if (access(path, X_OK) == 0)
            return true;
    }
    snprintf(path, size, "%s/sightline-%s", SIGHTLINE_LIBEXEC, verb);
    return access(path, X_OK) == 0;
}

static int run_program(const char *verb, char **argv)
{
    char path[PATH_MAX + 64];
    if (!find_program(verb, path, sizeof(path)))
        return -ENOENT;
    execv(path, argv);
    fprintf(stderr, "sightline: %s: %s\n", path, strerror(errno));
    return 1;
}

// What a form of `bench` needs beyond this program is a program of its own.
static int bench(int argc, char **argv)
{
    static const struct {
        const char *option, *verb;
    } forms[] = {{"--pipeline", "bench-pipeline"}, {"--ledger", "bench-ledger"}};
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < sizeof(forms) / sizeof(forms[0]); k++)
            if (!strcmp(argv[i], forms[k].option)) {
                const int status = run_program(forms[k].verb, argv);
                if (status == -ENOENT)
                    fprintf(stderr, "sightline bench: sightline-%s is not installed\n",
                            forms[k].verb);
                return status < 0 ? 1 : status;
            }
    return sl_command_bench_model(argc, argv);
}

// Levenshtein distance of two short words.
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64];
    const size_t n = strlen(b);
    for (size_t k = 0; k <= n; k++)
        row[k] = (unsigned)k;
    for (size_t i = 0; a[i]; i++) {
        unsigned corner = row[0]++;
        for (size_t k = 1; k <= n; k++) {
            const unsigned replaced = corner + (a[i] != b[k - 1]);
            corner = row[k];
            const unsigned shorter = row[k] < row[k - 1] ? row[k] : row[k - 1];
            row[k] = replaced < shorter + 1 ? replaced : shorter + 1;
        }
    }
    return row[n];
}

static int unknown(const char *verb)
{
    const char *nearest = NULL;
    unsigned least = 3;
    for (int i = 0; i < N_VERBS && strlen(verb) < 32; i++) {
        const unsigned d = distance(verb, verbs[i].name);
        if (d < least) {
            least = d;
            nearest = verbs[i].name;
        }
    }
    fprintf(stderr, "sightline: there is no verb '%.40s'", verb);
    if (nearest)
        fprintf(stderr, "; did you mean '%s'?", nearest);
    fprintf(stderr, "\n`sightline --help` lists them.\n");
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    const bool help = !strcmp(argv[1], "help");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || (help && argc == 2)) {
        usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("sightline %s\n", SIGHTLINE_VERSION);
        return 0;
    }
    const char *verb = help ? argv[2] : argv[1];
    char name[64];
    static char wants_help[] = "--help";
    snprintf(name, sizeof(name), "sightline %s", verb);
    char *help_arguments[] = {name, wants_help, NULL};
    char **arguments = help ? help_arguments : argv + 1;
    const int count = help ? 2 : argc - 1;
    if (!is_verb(verb) || strlen(verb) > 32)
        return unknown(verb);
    arguments[0] = name; // so that usage messages say what was typed
    const struct verb *known = find_verb(verb);
    if (known && known->run)
        return sl_command_end(argv[0], known->run(count, arguments));
    const int status = run_program(verb, arguments);
    if (status == -ENOENT && known)
        fprintf(stderr, "%s: the program sightline-%s is not installed\n", name, verb);
    else if (status == -ENOENT)
        return unknown(verb);
    return status < 0 ? 1 : status;
}
