// Plug-ins that are refused: BROKEN says what is wrong.
#include "accel/plugin.h"

#define NOTHING     1
#define NULL_TABLE  2
#define OTHER_ABI   3
#define SHORT_TABLE 4
#define NO_MEMBERS  5
#define NO_NAME     6

#if BROKEN != NOTHING
const struct sl_backend *sightline_backend(uint32_t host_abi);
const struct sl_backend *sightline_backend(uint32_t host_abi)
{
    static struct sl_backend table = {.abi = SL_ACCEL_ABI, .struct_size = sizeof(table)};
    (void)host_abi;
    table.name = "broken";
#if BROKEN == NULL_TABLE
    return NULL;
#elif BROKEN == OTHER_ABI
    table.abi = SL_ACCEL_ABI + 1;
#elif BROKEN == SHORT_TABLE
    table.struct_size = 16;
#elif BROKEN == NO_NAME
    table.name = NULL;
#endif
    return &table;
}
#endif
