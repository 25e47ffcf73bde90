// Buffers that end at a page which may not be touched.
#include "tests/accel/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *guard_take(struct guard *guard, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    unsigned char *start =
        mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + whole, page, PROT_NONE) != 0 ||
        guard->count == (int)(sizeof(guard->maps) / sizeof(*guard->maps))) {
        fprintf(stderr, "guard: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    guard->maps[guard->count].start = start;
    guard->maps[guard->count++].bytes = whole + page;
    return start + whole - bytes;
}

void guard_free(struct guard *guard)
{
    for (int i = 0; i < guard->count; i++)
        munmap(guard->maps[i].start, guard->maps[i].bytes);
    guard->count = 0;
}
