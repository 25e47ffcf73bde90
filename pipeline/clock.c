// Whether the time of day can be trusted.
#include "pipeline/clock.h"

#include "mqtt/verdict.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/timex.h>

uint32_t sl_clock_state(void)
{
    static atomic_bool was_synced;
    struct timex t = {0};
    const int state = adjtimex(&t);
    if (state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC)) {
        atomic_store(&was_synced, true);
        return SL_CLOCK_SYNCED;
    }
    return atomic_load(&was_synced) ? SL_CLOCK_HOLDOVER : SL_CLOCK_UNSYNCED;
}

const char *sl_clock_name(uint32_t state)
{
    return state == SL_CLOCK_SYNCED     ? "synced"
           : state == SL_CLOCK_HOLDOVER ? "holdover"
                                        : "unsynced";
}
