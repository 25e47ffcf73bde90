// `sightline-model`, which `sightline model` becomes.
#include "inference/commands.h"

#include <cblas.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// An OpenBLAS that is older than the processor falls back to its kernels for SSE3. It chooses when
// it is loaded, hence the second start; without that all works as well, only slower.
static void choose_blas(char **argv)
{
#ifdef __x86_64__
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (getenv("OPENBLAS_CORETYPE") || strcmp(openblas_get_corename(), "Prescott") != 0 ||
        !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return;
    char self[4096] = "";
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0 &&
        setenv("OPENBLAS_CORETYPE", wide ? "SkylakeX" : "Haswell", 1) == 0)
        execv(self, argv);
#else
    (void)argv;
#endif
}

int main(int argc, char **argv)
{
    choose_blas(argv);
    return sl_command_end(argv[0], sl_command_model(argc, argv));
}
