// The state machine's ports: storage, clock, chance; and who carries its actions out.
#include "ota/otad.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t otad_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void otad_hex(const uint8_t id[SL_OTA_ID], char out[2 * SL_OTA_ID + 1])
{
    sodium_bin2hex(out, 2 * SL_OTA_ID + 1, id, SL_OTA_ID);
}

// To the journal and to the audit log.
void otad_say(struct otad *o, const char *format, ...)
{
    char text[SL_AUDIT_TEXT];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    fprintf(stderr, "sightline-otad: %s\n", text);
    if (o->audit.fd >= 0 && sl_audit_add(&o->audit, "%s", text) < 0)
        fprintf(stderr, "sightline-otad: the audit log cannot be written\n");
}

static bool same_root(const struct sl_trust *a, const struct sl_trust *b)
{
    return a->version == b->version && !memcmp(a->hash, b->hash, sizeof(a->hash));
}

// A state that was lost does not say what to trust; the settings do.
struct sl_trust otad_trust(const struct otad *o)
{
    struct sl_trust trust = sl_storage_trust(&o->agent.state);
    if (trust.version == 0)
        return o->root;
    if (same_root(&trust, &o->root))
        trust.document = o->root.document;
    else if (o->trusted_size > 0)
        trust.document = (struct sl_octets){o->trusted, o->trusted_size};
    return trust;
}

// A bundle's chain holds the root that is trusted: with its document, bundles whose chain ends
// before it can be judged too.
static void keep_document(struct otad *o)
{
    const struct sl_trust state = sl_storage_trust(&o->agent.state);
    const struct sl_trust *seen = &o->scratch.trust_next;
    if (!same_root(&state, seen) || seen->document.left == 0 ||
        seen->document.left > sizeof(o->trusted))
        return;
    memmove(o->trusted, seen->document.at, seen->document.left);
    o->trusted_size = seen->document.left;
}

static int port_load(void *context, struct sl_ota_state *state)
{
    struct otad *o = context;
    return sl_state_load(&o->storage.state, state);
}

static int port_save(void *context, const struct sl_ota_state *state)
{
    struct otad *o = context;
    return sl_state_save(&o->storage.state, state);
}

static int port_seal(void *context, enum sl_slot_name slot)
{
    struct otad *o = context;
    (void)slot; // the one that the writer was begun with
    return o->writing ? sl_slot_finish(&o->writer) : -EAGAIN;
}

static int port_authentic(void *context, enum sl_slot_name slot, struct sl_bundle_facts *facts)
{
    struct otad *o = context;
    struct sl_bundle_error error;
    struct otad_slot *seen = &o->slots[slot];
    const struct sl_trust trust = otad_trust(o);
    const enum sl_refusal refusal =
        sl_storage_examine(&o->storage.slot[slot], &trust, &o->scratch, facts, &error);
    seen->known = refusal == SL_ACCEPTED;
    if (refusal == SL_REFUSED_READ)
        return -EIO;
    if (refusal != SL_ACCEPTED)
        return -EBADMSG;
    seen->number = facts->number;
    memcpy(seen->version, o->scratch.manifest.version, sizeof(seen->version));
    keep_document(o);
    return 0;
}

static uint64_t port_now(void *context)
{
    (void)context;
    return (uint64_t)otad_now_ms();
}

static uint32_t port_random(void *context)
{
    (void)context;
    return randombytes_random();
}

static bool read_root(struct otad *o)
{
    struct sl_bundle_error error = {.message = "cannot be read"};
    FILE *file = o->settings->root ? fopen(o->settings->root, "re") : NULL;
    if (!o->settings->root)
        return true;
    const size_t size = file ? fread(o->root_octets, 1, sizeof(o->root_octets), file) : 0;
    if (file)
        fclose(file);
    const struct sl_octets octets = {o->root_octets, size};
    if (size > 0 && sl_trust_document(octets, &o->root, &error) == SL_ACCEPTED) {
        o->root.document = octets;
        return true;
    }
    fprintf(stderr, "sightline-otad: root '%s': %s\n", o->settings->root, error.message);
    return false;
}

static bool open_storage(struct otad *o)
{
    const char *part = "";
    const int status = sl_storage_open(&o->storage, o->settings->storage, true, &part);
    if (status == 0)
        return true;
    fprintf(stderr, "sightline-otad: %s/%s: %s\n", o->settings->storage, part,
            status == -EWOULDBLOCK ? "in use by another agent" : strerror(-status));
    return false;
}

bool otad_begin(struct otad *o, enum sl_agent_action *action)
{
    const struct sl_settings *s = o->settings;
    const struct sl_agent_ports ports = {.context = o,
                                         .load = port_load,
                                         .save = port_save,
                                         .seal = port_seal,
                                         .authentic = port_authentic,
                                         .now_ms = port_now,
                                         .random = port_random};
    const struct sl_agent_limits limits = {.self_test_ms = 1000ull * s->self_test_s,
                                           .shadow_ms = 1000ull * s->shadow_s,
                                           .probation_ms = 1000ull * s->probation_s,
                                           .fetch_pause_ms = 1000,
                                           .fetch_tries = 1000};
    if (!read_root(o) || !open_storage(o))
        return false;
    const int kept = sl_audit_open(&o->audit, s->audit, true);
    if (kept < 0)
        fprintf(stderr, "sightline-otad: audit log '%s': %s\n", s->audit, strerror(-kept));
    const int status = sl_agent_start(&o->agent, &ports, &limits, action);
    if (status < 0) {
        fprintf(stderr, "sightline-otad: %s: the state cannot be read or saved: %s\n", s->storage,
                strerror(-status));
        return false;
    }
    otad_say(o, "started: active %s%s", sl_storage_slot_name(o->agent.state.active),
             o->agent.state.degraded ? ", degraded" : "");
    return true;
}

// --- events and actions -------------------------------------------------------------------------

// What it ended by stays apart from what happens to later ones, as the result does.
static void report_end(struct otad *o, uint8_t phase_before, const uint8_t id[SL_OTA_ID])
{
    char hex[2 * SL_OTA_ID + 1];
    const enum sl_result result = o->agent.state.result;
    if (phase_before == SL_PHASE_IDLE || o->agent.state.phase != SL_PHASE_IDLE)
        return;
    memcpy(o->reason, o->why, sizeof(o->reason));
    o->why[0] = '\0';
    if (result == SL_RESULT_COMMITTED)
        o->reason[0] = '\0';
    otad_hex(id, hex);
    otad_say(o, "update %.16s ended: %s%s%s", hex, sl_result_name(result), o->reason[0] ? ": " : "",
             o->reason);
}

int otad_handle(struct otad *o, const struct sl_agent_event *event)
{
    uint8_t id[SL_OTA_ID];
    const uint8_t phase = o->agent.state.phase;
    enum sl_agent_action action = SL_ACTION_WAIT;
    memcpy(id, o->agent.state.pending_id, sizeof(id));
    const int status = sl_agent_handle(&o->agent, event, &action);
    if (status < 0)
        return status;
    if (o->agent.state.result == SL_RESULT_TIMED_OUT && phase != SL_PHASE_IDLE &&
        o->agent.state.phase == SL_PHASE_IDLE)
        snprintf(o->why, sizeof(o->why), "it took too long");
    report_end(o, phase, id);
    otad_act(o, action);
    return 0;
}

int otad_event(struct otad *o, enum sl_agent_event_kind kind)
{
    const struct sl_agent_event event = {.kind = kind};
    return otad_handle(o, &event);
}

void otad_act(struct otad *o, enum sl_agent_action action)
{
    if (o->agent.state.phase != SL_PHASE_FETCH)
        otad_fetch_stop(o);
    switch (action) {
    case SL_ACTION_WAIT:
        break;
    case SL_ACTION_FETCH:
        otad_fetch(o);
        break;
    case SL_ACTION_SELF_TEST:
        otad_self_test(o);
        break;
    case SL_ACTION_SHADOW:
        otad_try(o, SL_CONTROL_SHADOW);
        break;
    case SL_ACTION_SWAP:
        otad_try(o, SL_CONTROL_SWAP);
        break;
    case SL_ACTION_COMMITTED:
    case SL_ACTION_ROLL_BACK:
        otad_end_trial(o, action == SL_ACTION_COMMITTED);
        break;
    case SL_ACTION_SAFE_MODE:
        otad_say(o, "SAFE MODE: no slot holds an authentic bundle that may run");
        break;
    }
}
