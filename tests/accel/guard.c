// Buffers between pages that may not be touched.
#include "tests/accel/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *guard_take(struct guard *guard, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + !bytes + page - 1) / page * page;
    unsigned char *map =
        mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, whole, PROT_READ | PROT_WRITE) != 0 ||
        guard->count == (int)(sizeof(guard->maps) / sizeof(*guard->maps))) {
        fprintf(stderr, "guard: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    guard->maps[guard->count].start = map;
    guard->maps[guard->count++].bytes = whole + 2 * page;
    return guard->at_start ? map + page : map + page + whole - bytes;
}

void guard_free(struct guard *guard)
{
    for (int i = 0; i < guard->count; i++)
        munmap(guard->maps[i].start, guard->maps[i].bytes);
    guard->count = 0;
}
