// Heap allocations that fail by index.
#include "malloc_fault.h"

#include <errno.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static uint64_t seen, fails_at;
static bool fails_for_ever;

void malloc_fault(uint64_t at, bool for_ever)
{
    seen = 0;
    fails_at = at;
    fails_for_ever = for_ever;
}

uint64_t malloc_fault_seen(void)
{
    return seen;
}

#ifdef SANITIZED

bool malloc_fault_works(void)
{
    return false;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size);
void *calloc(size_t n, size_t size);
void *realloc(void *old, size_t size);

bool malloc_fault_works(void)
{
    return true;
}

static bool fails(void)
{
    seen++;
    if (fails_at == 0 || seen < fails_at || (seen > fails_at && !fails_for_ever))
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

#endif
