// Whether the time of day can be trusted.
#ifndef SL_PIPELINE_CLOCK_H
#define SL_PIPELINE_CLOCK_H

#include <stdint.h>

// enum sl_clock, by adjtimex(2): synced; holdover: it was, since this process began, and runs on by
// itself; unsynced. Any thread.
uint32_t sl_clock_state(void);
const char *sl_clock_name(uint32_t state);

#endif
