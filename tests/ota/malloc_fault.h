// Heap allocations of this program that fail by index, from the C library's functions on: those of
// libraries count too. Not under sanitizers, which have functions of their own.
#ifndef SL_TESTS_MALLOC_FAULT_H
#define SL_TESTS_MALLOC_FAULT_H

#include <stdbool.h>
#include <stdint.h>

bool malloc_fault_works(void);

// From now on allocation `at`, counted from 1, fails, and with `for_ever` each after it. 0: none.
void malloc_fault(uint64_t at, bool for_ever);
uint64_t malloc_fault_seen(void); // since then

#endif
