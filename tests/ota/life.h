// One life of a camera in front of sl_agent: its disk, the bundles that a factory offers it, and
// what must never happen. Used with power cuts and with failing devices.
#ifndef SL_TESTS_LIFE_H
#define SL_TESTS_LIFE_H

#include "device_fault.h"
#include "device_sim.h"

#include "ota/agent.h"
#include "ota/slot.h"

#define LIFE_OFFERS 3
#define LIFE_CUTS   9
#define LIFE_PAPERS 4

enum bundle_kind {
    BUNDLE_GOLDEN,
    BUNDLE_BASE,  // installed at the start
    BUNDLE_GOOD,  // raises the floor above what was installed before
    BUNDLE_FAILS, // says no in its self-test, shadow or probation
    BUNDLE_CRASHES,
    BUNDLE_KILLS,  // brings the whole machine down at each try
    BUNDLE_FORGED, // whole, but not authentic
    BUNDLE_OLD,    // genuine, below the floor of the good ones
    BUNDLE_BETTER, // good too, newer
    BUNDLES
};

// What must not happen; the first one ends the life.
enum wrong {
    WRONG_NOTHING,
    WRONG_BRICK,      // nothing serves, or what serves is below the floor
    WRONG_UNVERIFIED, // told to load what is not the genuine bundle, or one below the floor
    WRONG_DENIED_GOOD,
    WRONG_STATE_LOST,    // both areas invalid
    WRONG_STATE_BACK,    // a state older than one that was acknowledged, or that nobody saved
    WRONG_HALF_SLOT,     // a superblock over something that is not the whole bundle
    WRONG_HALF_ARMED,    // the state says armed, the slot is not whole
    WRONG_ENDLESS,       // one bundle tried more often than its counters allow
    WRONG_BAD_KEPT,      // a bad bundle was not denied, parked or refused in the end
    WRONG_NOT_COMMITTED, // a good one was not active in the end
    WRONG_PAPER_LOST,    // a catalog or order that was taken is not known any more, or an old one
                         // counts
    WRONG_REVOKED,       // a bundle was chosen after its revocation was acknowledged
    WRONG_STUCK,
    WRONGS
};

// A catalog or an order, which comes again and again from its offer on until it is taken.
struct life_paper {
    bool is_order, taken;
    unsigned at;     // offer
    unsigned bundle; // ordered or revoked
    uint32_t number;
    bool permits; // an order: any lower number
};

struct life {
    struct sim_power power;
    struct sim_device area[2], slot[3];
    struct fault_device fault[5]; // in front of area 0, 1 and slot A, B, golden
    struct fault_plan faults;
    struct sl_state_store store;
    struct sl_agent agent;
    struct sl_slot_writer writer;
    struct sl_ota_state acked, tried; // last acknowledged, last given to a save
    unsigned n_unsure;                // saves since then that may have reached the disk
    struct sl_number floor;           // highest that was acknowledged as committed
    uint64_t now_ms;
    bool tampered[3];
    unsigned script[LIFE_OFFERS], at, fails_in, tries, boots, steps, commits;
    struct life_paper papers[LIFE_PAPERS];
    unsigned n_papers;
    bool may_serve;         // what is revoked was active before that
    bool newer, was_active; // what is offered, compared with what was active
    bool has_faults;
    bool refused; // `again` could not be saved and is reported once more
    struct sl_agent_event again;
    enum wrong wrong;
};

void life_make_bundles(uint64_t seed);
void life_begin(struct life *life, uint64_t seed);

// From putting the plug in to the end of the script, a power cut or something wrong. True: it is
// over. Power has to be restored with life_cut.
bool life_boot(struct life *life);
void life_cut(struct life *life);
void life_check_end(struct life *life);

const char *life_wrong_name(enum wrong wrong);

#endif
