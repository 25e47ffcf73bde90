// Every kernel of kernels.def against the plain C one of its slot, byte for byte.
#include "tests/accel/kernelcheck.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

double round_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int64_t size(struct round *round, int64_t most, int64_t bench)
{
    return round->bench ? bench : random_in(round->random, 1, most);
}

void *random_bytes(struct round *round, struct guard *guard, size_t bytes)
{
    unsigned char *memory = guard_take(guard, bytes);
    for (size_t i = 0; i < bytes; i++)
        memory[i] = (unsigned char)(random_next(round->random) >> 7);
    return memory;
}

float *random_reals(struct round *round, struct guard *guard, size_t count, float most)
{
    float *memory = guard_take(guard, count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        memory[i] = random_real(round->random, -most, most);
    return memory;
}

struct kernel {
    const char *slot, *name;
    enum cpu_isa needs;
    kernel_fn *function;
    void (*check)(struct round *round, struct guard *guard);
};
#if defined(SL_BROKEN)
#include "tests/accel/broken.h"
#endif

#if defined(SL_SIMDE)
#include "tests/accel/tile_model.h"
cpu_conv_dot_fn cpu_conv_dot_avxvnni_simde, cpu_conv_dot_avx512vnni_simde;
cpu_conv_tiles_fn cpu_conv_tiles_amx_model;
cpu_depthwise_dot_fn cpu_depthwise_dot_avxvnni_simde, cpu_depthwise_dot_avx512vnni_simde;
cpu_conv_dot_pair_fn cpu_conv_dot_pair_avx512vnni_simde;
cpu_conv_s16_fn cpu_conv_s16_avx512vnni_simde;
cpu_conv_f32_fn cpu_conv_f32_avx512vnni_simde;
cpu_add_q8_fn cpu_add_q8_avx512vnni_simde;
cpu_mul_q8_fn cpu_mul_q8_avx512vnni_simde;
cpu_quantize_fn cpu_quantize_avx512vnni_simde;
cpu_dequantize_fn cpu_dequantize_avx512vnni_simde;
cpu_max_q8_fn cpu_max_q8_avx512vnni_simde;
cpu_average_q8_fn cpu_average_q8_avx512vnni_simde;

static void check_released_tiles(struct round *round, struct guard *guard)
{
    check_conv_tiles(round, guard);
    round->same = round->same && !tile_model_in_use();
}
#endif

static const struct kernel kernels[] = {
#define KERNEL(slot, isa, function) {#slot, #function, isa, (kernel_fn *)function, check_##slot},
#include "accel/cpu/kernels.def"
#undef KERNEL
#if defined(SL_SIMDE)
    // Sources through SIMDe: their arithmetic, on machines without the instructions.
    {"conv_dot", "cpu_conv_dot_avxvnni (SIMDe)", CPU_AVX2, (kernel_fn *)cpu_conv_dot_avxvnni_simde,
     check_conv_dot},
    {"conv_dot", "cpu_conv_dot_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_conv_dot_avx512vnni_simde, check_conv_dot},
    {"conv_dot_pair", "cpu_conv_dot_pair_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_conv_dot_pair_avx512vnni_simde, check_conv_dot_pair},
    {"depthwise_dot", "cpu_depthwise_dot_avxvnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_depthwise_dot_avxvnni_simde, check_depthwise_dot},
    {"depthwise_dot", "cpu_depthwise_dot_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_depthwise_dot_avx512vnni_simde, check_depthwise_dot},
    {"conv_f32", "cpu_conv_f32_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_conv_f32_avx512vnni_simde, check_conv_f32},
    {"conv_s16", "cpu_conv_s16_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_conv_s16_avx512vnni_simde, check_conv_s16},
    {"add_q8", "cpu_add_q8_avx512vnni (SIMDe)", CPU_AVX2, (kernel_fn *)cpu_add_q8_avx512vnni_simde,
     check_add_q8},
    {"mul_q8", "cpu_mul_q8_avx512vnni (SIMDe)", CPU_AVX2, (kernel_fn *)cpu_mul_q8_avx512vnni_simde,
     check_mul_q8},
    {"quantize", "cpu_quantize_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_quantize_avx512vnni_simde, check_quantize},
    {"dequantize", "cpu_dequantize_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_dequantize_avx512vnni_simde, check_dequantize},
    {"max_q8", "cpu_max_q8_avx512vnni (SIMDe)", CPU_AVX2, (kernel_fn *)cpu_max_q8_avx512vnni_simde,
     check_max_q8},
    {"average_q8", "cpu_average_q8_avx512vnni (SIMDe)", CPU_AVX2,
     (kernel_fn *)cpu_average_q8_avx512vnni_simde, check_average_q8},
    {"conv_tiles", "cpu_conv_tiles_amx (model)", CPU_AVX2, (kernel_fn *)cpu_conv_tiles_amx_model,
     check_released_tiles},
#endif
#if defined(SL_BROKEN)
#define BROKEN(slot, function) {#slot, #function, CPU_C, (kernel_fn *)function, check_##slot},
    BROKEN_KERNELS(BROKEN)
#undef BROKEN
#endif
};
#define N_KERNELS (sizeof(kernels) / sizeof(*kernels))

struct options {
    uint64_t seed;
    int rounds;
    bool bench, list, has_isa, has_best;
    enum cpu_isa isa, best;
    char **names;
    int n_names;
};

static kernel_fn *reference_of(const char *slot)
{
    for (size_t i = 0; i < N_KERNELS; i++)
        if (kernels[i].needs == CPU_C && strcmp(kernels[i].slot, slot) == 0)
            return kernels[i].function;
    fprintf(stderr, "kernelcheck: slot %s has no plain C kernel\n", slot);
    exit(1);
}

static struct round begin_round(const struct kernel *kernel, struct random *random, bool bench)
{
    return (struct round){.random = random,
                          .functions = {reference_of(kernel->slot), kernel->function},
                          .bench = bench,
                          .ns = {1e18, 1e18}};
}

// What runs, for the handler: a kernel that leaves its buffers or lacks an instruction ends here.
static char running[160];

static void on_fault(int number)
{
    const char *what = number == SIGILL ? ": illegal instruction\n" : ": touched a guard page\n";
    ssize_t ignored = write(STDERR_FILENO, running, strlen(running));
    ignored = write(STDERR_FILENO, what, strlen(what));
    (void)ignored;
    _exit(1);
}

static bool check_kernel(const struct kernel *kernel, const struct options *options)
{
    for (int i = 0; i < options->rounds; i++) {
        struct random random = {options->seed + (uint64_t)i * 7919};
        struct guard guard = {.at_start = i % 2};
        struct round round = begin_round(kernel, &random, false);
        snprintf(running, sizeof(running), "%s: round %d of seed %llu", kernel->name, i,
                 (unsigned long long)options->seed);
        kernel->check(&round, &guard);
        guard_free(&guard);
        if (!round.same) {
            printf("%-15s %-31s DIFFERS in round %d of seed %llu\n", kernel->slot, kernel->name, i,
                   (unsigned long long)options->seed);
            return false;
        }
    }
    return true;
}

static void print_times(const struct kernel *kernel, uint64_t seed)
{
    struct random random = {seed};
    struct guard guard = {0};
    struct round round = begin_round(kernel, &random, true);
    kernel->check(&round, &guard);
    guard_free(&guard);
    printf(" %10.0f ns %7.2f x C", round.ns[VARIANT], round.ns[REFERENCE] / round.ns[VARIANT]);
}

static bool is_wanted(const struct kernel *kernel, const struct options *options)
{
    if (options->has_isa && kernel->needs != options->isa)
        return false;
    for (int i = 0; i < options->n_names; i++)
        if (strstr(kernel->name, options->names[i]) || strstr(kernel->slot, options->names[i]))
            return true;
    return options->n_names == 0;
}

static int list(const struct options *options)
{
    const uint32_t sets = cpu_isa_sets();
    for (size_t i = 0; i < N_KERNELS; i++)
        if (is_wanted(&kernels[i], options))
            printf("%-15s %-31s %-10s %s\n", kernels[i].slot, kernels[i].name,
                   cpu_isa_name(kernels[i].needs),
                   sets & 1u << kernels[i].needs ? "runs here" : "does not run here");
    return 0;
}

// False: it differs.
static bool report(const struct kernel *kernel, const struct options *options)
{
    if (!check_kernel(kernel, options))
        return false;
    printf("%-15s %-31s %s", kernel->slot, kernel->name,
           kernel->needs == CPU_C ? "reference" : "same     ");
    if (options->bench)
        print_times(kernel, options->seed);
    printf("\n");
    return true;
}

static int check(const struct options *options)
{
    const uint32_t sets = cpu_isa_sets();
    int compared = 0, references = 0, failed = 0, skipped = 0;
    printf("seed %llu, %d rounds, this machine has %s\n", (unsigned long long)options->seed,
           options->rounds, cpu_isa_name(cpu_isa_best()));
    for (size_t i = 0; i < N_KERNELS; i++) {
        const struct kernel *kernel = &kernels[i];
        if (!is_wanted(kernel, options))
            continue;
        if (!(sets & 1u << kernel->needs)) {
            printf("%-15s %-31s not run: needs %s\n", kernel->slot, kernel->name,
                   cpu_isa_name(kernel->needs));
            skipped++;
            continue;
        }
        failed += !report(kernel, options);
        references += kernel->needs == CPU_C;
        compared += kernel->needs != CPU_C;
    }
    printf("%d references, %d variants compared, %d differ, %d not run\n", references, compared,
           failed, skipped);
    if (compared + references == 0)
        fprintf(stderr, "kernelcheck: nothing was checked\n");
    return failed || compared + references == 0 ? 1 : 0;
}

static const char help[] =
    "usage: kernelcheck [OPTION]... [NAME]...\n"
    "Compares every kernel of accel/cpu/kernels.def with the plain C kernel of its slot, byte for\n"
    "byte: random inputs of odd sizes, between pages that fault. With NAMEs, those whose kernel "
    "or\n"
    "slot contains one of them.\n"
    "  --list       list them and whether they run on this machine\n"
    "  --isa SET    only the variants for this instruction set\n"
    "  --bench      time them, too: nanoseconds of a call, and how many times as fast as C\n"
    "  --seed N     other random numbers (default 1)\n"
    "  --rounds N   rounds of each kernel (default 200)\n"
    "  --best SET   fail if SET is not the best of this machine\n"
    "  --help       this text\n"
    "Exit status: 0 all are the same, 1 one differs or nothing was checked, 2 usage.\n"
    "SIGHTLINE_CPU=SET in the environment caps what runs.\n";

static int usage(const char *problem, const char *word)
{
    fprintf(stderr, "kernelcheck: %s '%s'\nTry 'kernelcheck --help'.\n", problem, word);
    return 2;
}

static bool parse_number(const char *text, uint64_t most, uint64_t *number)
{
    char *end;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *number <= most;
}

static bool set_value(struct options *options, const char *option, const char *value)
{
    uint64_t rounds;
    if (strcmp(option, "--seed") == 0)
        return parse_number(value, UINT64_MAX, &options->seed);
    if (strcmp(option, "--rounds") == 0 && parse_number(value, 1000000, &rounds) && rounds > 0) {
        options->rounds = (int)rounds;
        return true;
    }
    if (strcmp(option, "--isa") == 0)
        return options->has_isa = cpu_isa_parse(value, &options->isa);
    if (strcmp(option, "--best") == 0)
        return options->has_best = cpu_isa_parse(value, &options->best);
    return false;
}

static int parse(struct options *options, int argc, char **argv)
{
    static const char *const with_value[] = {"--seed", "--rounds", "--isa", "--best"};
    options->names = argv; // they move to the front
    for (int i = 1; i < argc; i++) {
        bool takes_value = false;
        if (argv[i][0] != '-') {
            options->names[options->n_names++] = argv[i];
            continue;
        }
        for (size_t k = 0; k < sizeof(with_value) / sizeof(*with_value); k++)
            takes_value |= strcmp(argv[i], with_value[k]) == 0;
        if (strcmp(argv[i], "--bench") == 0)
            options->bench = true;
        else if (strcmp(argv[i], "--list") == 0)
            options->list = true;
        else if (!takes_value)
            return usage("unknown option", argv[i]);
        else if (i + 1 == argc)
            return usage("no value for", argv[i]);
        else if (!set_value(options, argv[i], argv[i + 1]))
            return usage("bad value", argv[i + 1]);
        i += takes_value;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .rounds = 200};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return 0;
        }
    const int status = parse(&options, argc, argv);
    if (status)
        return status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGILL, on_fault);
    if (options.has_best && options.best != cpu_isa_best()) {
        fprintf(stderr, "kernelcheck: expected a machine with %s, this one has %s\n",
                cpu_isa_name(options.best), cpu_isa_name(cpu_isa_best()));
        return 1;
    }
    return options.list ? list(&options) : check(&options);
}
