// The state machine of an update: idle → fetch → armed → self-test → shadow → probation →
// committed, or rolled back. It decides and remembers; it loads no model and fetches nothing.
//
// The caller reports what happened (an event) and gets back what to do next (an action). Every
// decision is saved before its action is returned, so that a power cut leaves either the state
// before, or one whose action is taken again by sl_agent_start.
//
// Two counters guard against a bundle that brings the camera down. Both are taken, and saved,
// before each try; the end of the try gives back what does not apply. So 3 crashes that somebody
// saw deny a bundle, while 10 restarts that nobody can explain (which may all be power cuts) only
// park it. The floor rises at commit and nowhere else, and so does the trusted root; it sinks only
// where an older bundle that the site's order permits becomes the active one.
//
// A catalog keeps bundles from being chosen: offered, tried, gone back to. What serves already goes
// on, and where nothing else is whole what is revoked serves, so that no catalog can stop a line.
// An order permits less than the floor of this camera, never what a catalog revokes or what was
// denied here.
#ifndef SL_OTA_AGENT_H
#define SL_OTA_AGENT_H

#include "ota/state.h"

#define SL_AGENT_CRASHES     3
#define SL_AGENT_UNEXPLAINED 10

struct sl_bundle_facts {
    uint8_t id[SL_OTA_ID];
    struct sl_number number, floor; // its place in the order; what it raises the floor to
    uint32_t root_version;          // the newest root that its chain leads to
    uint8_t root_hash[32];
};

// Everything outside, all for one thread. Those that return int: 0 or a negative errno.
struct sl_agent_ports {
    void *context;
    int (*load)(void *context, struct sl_ota_state *state); // -ENODATA: nothing valid
    int (*save)(void *context, const struct sl_ota_state *state);
    // Completes the slot that was fetched, superblock last (sl_slot_finish). -EAGAIN: go on.
    int (*seal)(void *context, enum sl_slot_name slot);
    // Verifies the whole slot as it is now. -EBADMSG: it is not an authentic bundle.
    int (*authentic)(void *context, enum sl_slot_name slot, struct sl_bundle_facts *facts);
    uint64_t (*now_ms)(void *context); // monotonic
    uint32_t (*random)(void *context);
};

struct sl_agent_limits {
    uint64_t self_test_ms, shadow_ms, probation_ms; // longest that a step may take
    uint64_t fetch_pause_ms; // after a failed fetch: this, and a random part of it
    uint32_t fetch_tries;    // then the fetch is given up
};

enum sl_agent_event_kind {
    SL_EVENT_OFFER,        // a bundle is to be had; facts from its verified manifest
    SL_EVENT_WITHDRAW,     // drop the update at hand, without denying; ends an order that names it
    SL_EVENT_FETCHED,      // every chunk was put
    SL_EVENT_FETCH_FAILED, // source gone, or the slot could not be written
    SL_EVENT_GATE_OPEN,    // the site's order holds and the line is idle
    SL_EVENT_PASSED,       // the step at hand: self-test, shadow or probation
    SL_EVENT_FAILED,
    SL_EVENT_CRASHED, // somebody saw the process that tried the bundle die
    SL_EVENT_TICK,    // time has passed
    SL_EVENT_REVERT,  // an operator wants the bundle of the other slot back; ends the order
    SL_EVENT_CATALOG, // signed by release keys; drops what is pending and revoked
    SL_EVENT_ORDER,   // signed by site keys, for this camera; drops what is pending and not meant
    SL_EVENTS
};

struct sl_agent_event {
    enum sl_agent_event_kind kind;
    struct sl_bundle_facts facts;         // SL_EVENT_OFFER
    const struct sl_ota_catalog *catalog; // SL_EVENT_CATALOG
    const struct sl_ota_order *order;     // SL_EVENT_ORDER
};

enum sl_agent_action {
    SL_ACTION_WAIT,
    SL_ACTION_FETCH,     // begin or go on writing the pending slot
    SL_ACTION_SELF_TEST, // of the pending slot, in a child
    SL_ACTION_SHADOW,    // run it beside the active one
    SL_ACTION_SWAP,      // let it serve, keep the active one loaded: probation
    SL_ACTION_COMMITTED, // what was pending is active; the old one may be unloaded
    SL_ACTION_ROLL_BACK, // the active one serves again; unload the pending one
    SL_ACTION_SAFE_MODE, // there is nothing that may be loaded: say so loudly
};

struct sl_agent {
    struct sl_agent_ports ports;
    struct sl_agent_limits limits;
    struct sl_ota_state state;    // as saved
    struct sl_bundle_facts facts; // of the pending slot, verified since the start
    uint64_t deadline_ms;         // of the step at hand; UINT64_MAX: none
    uint32_t fetch_failures;
    bool unsettled; // a save failed: what the disk holds is not known
};

// After every start of the process: loads the state, finds what may serve and resumes. From then on
// state.active is a slot that was verified now and is at or above the floor, or SL_SLOT_NONE. A
// negative errno if the state cannot be read or saved, or nothing fits while something cannot be
// read: then nothing may be loaded, and nothing was given up.
int sl_agent_start(struct sl_agent *agent, const struct sl_agent_ports *ports,
                   const struct sl_agent_limits *limits, enum sl_agent_action *action);

// A negative errno and no action if the event is refused or could not be saved, in which case
// nothing changed and it may be reported again: -EPERM an offer that is denied, revoked, parked,
// too old or not newer; -EACCES an offer that the order does not name; -EBUSY an offer while
// another is at hand; -EALREADY, -ESTALE a catalog or order that is known, or older than one that
// was; -EPROTO an event out of place; -ENOENT nothing to go back to.
int sl_agent_handle(struct sl_agent *agent, const struct sl_agent_event *event,
                    enum sl_agent_action *action);

#endif
