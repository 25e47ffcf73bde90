// Counts heap allocations of this program, for the promise that nothing allocates per picture.
#ifndef SL_TESTS_ALLOCATIONS_H
#define SL_TESTS_ALLOCATIONS_H

// Under a sanitizer, which has its own allocator, there is nothing to count: -1.
long allocations(void);

#endif
