// Inside of sightline-otad: its state, and what its files give each other. One thread, one loop.
//
// otad.c is the program and its loop; otad_ports.c joins the state machine and the storage;
// otad_fetch.c takes what sources offer; otad_order.c obeys orders and catalogs and keeps the gate;
// otad_trial.c carries the state machine's actions out with
// the self-test and the camera daemon; otad_status.c answers `sightline slot`.
#ifndef SL_OTA_OTAD_H
#define SL_OTA_OTAD_H

#include "ota/audit.h"
#include "ota/bundle/catalog.h"
#include "ota/control.h"
#include "ota/settings.h"
#include "ota/source.h"
#include "ota/storage.h"

#include <sys/types.h>

enum { OTAD_SOURCES = 2, OTAD_REFUSED = 16 };

struct otad_slot {
    bool known; // an authentic bundle was seen in it
    struct sl_number number;
    char version[SL_TEXT_MAX + 1];
};

struct otad {
    const struct sl_settings *settings;
    struct sl_storage storage;
    struct sl_agent agent;
    struct sl_audit audit;
    struct otad_slot slots[SL_STORAGE_SLOTS];
    char why[SL_CONTROL_TEXT / 2];    // what went wrong with the update at hand, for people
    char reason[SL_CONTROL_TEXT / 2]; // why the last one ended as it did
    struct sl_trust root;             // of the settings, version 0: none
    struct sl_tensor_abi tensor;      // of the settings, rank 0: any
    uint8_t root_octets[SL_DOCUMENT_MAX], trusted[SL_DOCUMENT_MAX];
    size_t trusted_size; // document of the state's root, once a bundle showed it

    struct sl_bundle scratch; // the one that is looked at
    // fetch
    struct sl_bundle candidate;                     // that is fetched, its head verified
    uint8_t device[64];                             // secret key, where the settings name one
    struct sl_source *sources[OTAD_SOURCES], *from; // from NULL: none delivers
    size_t n_sources;
    struct sl_slot_writer writer;
    uint8_t room[SL_CHUNK];
    bool writing;
    uint8_t refused[OTAD_REFUSED][SL_OTA_ID]; // said once each
    unsigned n_refused;
    uint8_t withdrawn[SL_OTA_ID]; // by an operator, until one asks for it
    unsigned refusals;            // that may still be said, since
    int64_t refusals_ms;
    uint32_t for_others; // highest number of an order that does not name this camera

    // trial
    int trial;                            // memfd of the pending bundle, -1: none
    struct sl_control_message components; // of it
    struct sl_limits limits;              // of its manifest
    int daemon;                           // connection to sightlined, -1: none
    int64_t connect_ms;
    char backend[SL_CONTROL_TEXT];
    // the gate
    bool asked; // an operator opened it for the bundle
    uint8_t asked_id[SL_OTA_ID];
    bool restarted;        // the daemon has started since the bundle was armed
    bool idle_asked, idle; // the daemon was asked to tell when the line is idle, and told
    pid_t child;           // 0: none
    int child_socket;
    struct sl_control_message in, out;

    int listener, client;       // of `sightline slot`
    char said[SL_CONTROL_TEXT]; // state that the daemon was told last
    bool stopping;
};

int64_t otad_now_ms(void);

// otad_ports.c. Opens storage and audit, starts the state machine; false and a line on standard
// error.
bool otad_begin(struct otad *o, enum sl_agent_action *action);
struct sl_trust otad_trust(const struct otad *o);
void otad_say(struct otad *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
void otad_hex(const uint8_t id[SL_OTA_ID], char out[2 * SL_OTA_ID + 1]);

// Gives an event to the state machine and does what it says. A negative errno: it was refused.
int otad_event(struct otad *o, enum sl_agent_event_kind kind);
int otad_handle(struct otad *o, const struct sl_agent_event *event);
void otad_act(struct otad *o, enum sl_agent_action action);

// otad_fetch.c
extern const struct sl_source_sink otad_sink_ops; // without context
void otad_fetch(struct otad *o);                  // begins, or goes on
void otad_fetch_stop(struct otad *o);             // nothing is wanted

// otad_order.c
void otad_document(void *context, struct sl_source *source, const uint8_t *octets, size_t size);
bool otad_is_news(struct otad *o, const uint8_t id[SL_OTA_ID]); // and may be said
// Whether the site's orders keep this bundle away, and in words why.
bool otad_order_forbids(const struct otad *o, const uint8_t id[SL_OTA_ID], char *why, size_t size);
enum sl_ota_when otad_gate(const struct otad *o); // of what is armed
void otad_try_gate(struct otad *o);
bool otad_serves_revoked(const struct otad *o);

// otad_trial.c
void otad_self_test(struct otad *o);
void otad_try(struct otad *o, enum sl_control_verb verb); // SHADOW or SWAP
void otad_end_trial(struct otad *o, bool committed);
void otad_child_ready(struct otad *o);
void otad_daemon_ready(struct otad *o);
void otad_daemon_connect(struct otad *o); // if it is due
void otad_serve_active(struct otad *o);
void otad_ask_idle(struct otad *o);
void otad_tell_daemon(struct otad *o);          // the state, if it has changed
int otad_ask(struct otad *o, const char *what); // "update", "rollback"

// otad_status.c
void otad_status(const struct otad *o, char *json, size_t size);
void otad_client_accept(struct otad *o);
void otad_client_ready(struct otad *o);

#endif
