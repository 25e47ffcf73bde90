// A plug-in of a later time: its table has members that this host has never heard of.
#define SKELETON_NAME     "future"
#define sightline_backend skeleton_table
#include "accel/examples/skeleton.c"
#undef sightline_backend

struct later {
    struct sl_backend known;
    int (*unheard_of)(void *device);
    uint64_t more[32];
};

const struct sl_backend *sightline_backend(uint32_t host_abi);
const struct sl_backend *sightline_backend(uint32_t host_abi)
{
    static struct later table;
    memset(&table, 0xff, sizeof(table));
    table.known = *skeleton_table(host_abi);
    table.known.struct_size = sizeof(table);
    return &table.known;
}
