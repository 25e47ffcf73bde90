// What the plant's orders and the catalogs say, and when what is armed may be tried.
#include "ota/otad.h"

#include "ota/sha256.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Static_assert((int)SL_STATE_REVOKED == (int)SL_REVOKED_MAX, "a catalog fits into the state");
_Static_assert((int)SL_WHEN_AT_ONCE == (int)SL_ORDER_AT_ONCE &&
                   (int)SL_WHEN_LINE_IDLE == (int)SL_ORDER_LINE_IDLE &&
                   (int)SL_WHEN_NEXT_START == (int)SL_ORDER_NEXT_START &&
                   (int)SL_WHEN_ON_DEMAND == (int)SL_ORDER_ON_DEMAND,
               "the same times");

enum { REFUSALS = 32, REFUSAL_MS = 60000 };

// --- refusals -----------------------------------------------------------------------------------

// Who floods the camera with what is refused must not wash everything else out of the audit log.
static bool may_say(struct otad *o)
{
    const int64_t now = otad_now_ms(), more = (now - o->refusals_ms) / REFUSAL_MS;
    if (o->refusals_ms == 0 || more >= REFUSALS) {
        o->refusals = REFUSALS;
        o->refusals_ms = now;
    } else {
        o->refusals = o->refusals + more < REFUSALS ? o->refusals + (unsigned)more : REFUSALS;
        o->refusals_ms += more * REFUSAL_MS;
    }
    if (o->refusals == 0)
        return false;
    o->refusals--;
    return true;
}

bool otad_is_news(struct otad *o, const uint8_t id[SL_OTA_ID])
{
    for (unsigned i = 0; i < o->n_refused && i < OTAD_REFUSED; i++)
        if (!memcmp(o->refused[i], id, SL_OTA_ID))
            return false;
    if (!may_say(o))
        return false;
    memcpy(o->refused[o->n_refused++ % OTAD_REFUSED], id, SL_OTA_ID);
    return true;
}

static void refuse(struct otad *o, const struct sl_source *source, const char *kind,
                   struct sl_octets octets, const char *word, const char *why)
{
    uint8_t hash[SL_OTA_ID];
    sl_sha256(hash, octets.at, octets.left);
    if (otad_is_news(o, hash))
        otad_say(o, "%s from the %s refused: %s: %s", kind, source->ops->name, word, why);
}

// --- documents ----------------------------------------------------------------------------------

// Who may sign: by the root that is trusted now.
static enum sl_refusal read_root(const struct otad *o, struct sl_root *root,
                                 struct sl_bundle_error *error)
{
    struct sl_document document;
    const struct sl_trust trust = otad_trust(o);
    struct sl_octets rest = trust.document;
    if (rest.left == 0)
        return sl_refuse(error, SL_REFUSED_ROOT, "the document of the trusted root is not known");
    const enum sl_refusal refusal = sl_document_take(&rest, SL_PREFIX_ROOT, &document, error);
    return refusal == SL_ACCEPTED ? sl_root_read(&document, root, error) : refusal;
}

// Sources look again at what was judged by the rules before.
static void judge_again(struct otad *o)
{
    for (size_t i = 0; i < o->n_sources; i++)
        if (o->sources[i]->ops->again)
            o->sources[i]->ops->again(o->sources[i]);
}

// `why`: if an update ends by this. Returns what the state machine says.
static int apply(struct otad *o, const struct sl_agent_event *event, const char *why)
{
    char before[sizeof(o->why)];
    const uint8_t phase = o->agent.state.phase;
    memcpy(before, o->why, sizeof(before));
    snprintf(o->why, sizeof(o->why), "%s", why);
    const int status = otad_handle(o, event);
    if (phase == SL_PHASE_IDLE || o->agent.state.phase != SL_PHASE_IDLE)
        memcpy(o->why, before, sizeof(before));
    return status;
}

static struct sl_number number_of(struct sl_bundle_number n)
{
    return (struct sl_number){n.epoch, n.seq};
}

bool otad_serves_revoked(const struct otad *o)
{
    const struct sl_ota_state *s = &o->agent.state;
    return s->active < SL_SLOT_NONE && o->slots[s->active].known &&
           sl_state_is_revoked(s, s->active_id, o->slots[s->active].number);
}

static void on_catalog(struct otad *o, const struct sl_source *source, struct sl_octets octets,
                       const struct sl_root *root)
{
    static struct sl_catalog found;
    static struct sl_ota_catalog catalog;
    struct sl_bundle_error error;
    char why[80];
    if (sl_catalog_verify(octets, root, o->settings->product, &found, &error) != SL_ACCEPTED) {
        refuse(o, source, "catalog", octets, sl_refusal_name(error.refusal), error.message);
        return;
    }
    catalog = (struct sl_ota_catalog){found.number, found.n_revoked, number_of(found.floor), {{0}}};
    memcpy(catalog.revoked, found.revoked, sizeof(catalog.revoked));
    snprintf(why, sizeof(why), "catalog %u revokes it", found.number);
    const struct sl_agent_event event = {.kind = SL_EVENT_CATALOG, .catalog = &catalog};
    if (apply(o, &event, why) < 0) // one that is older is harmless; the others come again
        return;
    otad_say(o, "catalog %u from the %s: %u bundles revoked%s", found.number, source->ops->name,
             found.n_revoked,
             otad_serves_revoked(o) ? ", among them what serves, until another one is there" : "");
    judge_again(o);
}

static const char *when_text(uint8_t when)
{
    static const char *const texts[SL_WHENS] = {"never", "at once", "when the line is idle",
                                                "at the next start", "when somebody asks"};
    return texts[when];
}

static void obey(struct otad *o, const struct sl_source *source, struct sl_octets octets,
                 const struct sl_ota_order *order)
{
    char hex[2 * SL_OTA_ID + 1], why[80];
    const struct sl_agent_event event = {.kind = SL_EVENT_ORDER, .order = order};
    const bool same = !memcmp(order->bundle, o->agent.state.pending_id, SL_OTA_ID);
    snprintf(why, sizeof(why), "order %u %s", order->number,
             same ? "does not permit an older bundle" : "wants another bundle");
    const int status = apply(o, &event, why);
    if (status == -ESTALE) {
        snprintf(why, sizeof(why), "number %u; order %u was taken before", order->number,
                 o->agent.state.order.number);
        refuse(o, source, "order", octets, "old", why);
    }
    if (status < 0)
        return;
    otad_hex(order->bundle, hex);
    otad_say(o, "order %u from the %s: bundle %.16s %s%s", order->number, source->ops->name, hex,
             when_text(order->when), order->permits ? ", an older one too" : "");
    memset(o->withdrawn, 0, sizeof(o->withdrawn));
    o->n_refused = 0;
    judge_again(o);
}

// No refusal: the broker has the orders of a whole plant, and brings them again and again.
static void pass_over(struct otad *o, const struct sl_source *source, const struct sl_order *order,
                      const char *why)
{
    if (order->number <= o->for_others)
        return;
    o->for_others = order->number;
    otad_say(o, "order %u from the %s is for others: %s", order->number, source->ops->name, why);
}

static void on_order(struct otad *o, const struct sl_source *source, struct sl_octets octets,
                     const struct sl_root *root)
{
    static struct sl_order found;
    struct sl_bundle_error error;
    // A camera without a name obeys what is for all.
    const char *camera = o->settings->camera ? o->settings->camera : "";
    const enum sl_refusal refusal =
        sl_order_verify(octets, root, o->settings->product, camera, &found, &error);
    if (refusal == SL_REFUSED_CAMERA) {
        pass_over(o, source, &found, error.message);
        return;
    }
    if (refusal != SL_ACCEPTED) {
        refuse(o, source, "order", octets, sl_refusal_name(refusal), error.message);
        return;
    }
    struct sl_ota_order order = {
        found.number, found.when, found.permits_downgrade, number_of(found.downgrade), {0}};
    memcpy(order.bundle, found.bundle, sizeof(order.bundle));
    obey(o, source, octets, &order);
}

void otad_document(void *context, struct sl_source *source, const uint8_t *octets, size_t size)
{
    struct otad *o = context;
    static struct sl_root root;
    struct sl_bundle_error error;
    const struct sl_octets all = {octets, size};
    const bool is_order = size >= SL_PREFIX && !memcmp(octets, SL_PREFIX_ORDER, SL_PREFIX);
    const bool is_catalog = size >= SL_PREFIX && !memcmp(octets, SL_PREFIX_CATALOG, SL_PREFIX);
    if (!is_order && !is_catalog)
        return;
    if (read_root(o, &root, &error) != SL_ACCEPTED)
        refuse(o, source, is_order ? "order" : "catalog", all, sl_refusal_name(error.refusal),
               error.message);
    else
        (is_order ? on_order : on_catalog)(o, source, all, &root);
}

bool otad_order_forbids(const struct otad *o, const uint8_t id[SL_OTA_ID], char *why, size_t size)
{
    const struct sl_ota_state *s = &o->agent.state;
    if (sl_state_is_ordered(s, id))
        return false;
    if (sl_state_has_order(s))
        snprintf(why, size, "order %u names another bundle", s->order.number);
    else if (o->settings->gate == SL_GATE_ORDER)
        snprintf(why, size, "no order names it");
    else
        return false;
    return true;
}

// --- the gate -----------------------------------------------------------------------------------

enum sl_ota_when otad_gate(const struct otad *o)
{
    static const enum sl_ota_when of_setting[] = {[SL_GATE_AT_ONCE] = SL_WHEN_AT_ONCE,
                                                  [SL_GATE_ON_DEMAND] = SL_WHEN_ON_DEMAND,
                                                  [SL_GATE_LINE_IDLE] = SL_WHEN_LINE_IDLE,
                                                  [SL_GATE_ORDER] = SL_WHEN_ON_DEMAND};
    const struct sl_ota_state *s = &o->agent.state;
    return sl_state_is_ordered(s, s->pending_id) ? (enum sl_ota_when)s->order.when
                                                 : of_setting[o->settings->gate];
}

static bool is_open(struct otad *o)
{
    const enum sl_ota_when when = otad_gate(o);
    if (when == SL_WHEN_LINE_IDLE && !o->idle_asked) {
        o->idle_asked = true;
        otad_ask_idle(o);
    }
    // What an operator saw, and not what took its place.
    o->asked = o->asked && !memcmp(o->asked_id, o->agent.state.pending_id, sizeof(o->asked_id));
    return o->asked || when == SL_WHEN_AT_ONCE || (when == SL_WHEN_LINE_IDLE && o->idle) ||
           (when == SL_WHEN_NEXT_START && o->restarted);
}

// What is armed is tried when the daemon is there to take it, and the site agrees.
void otad_try_gate(struct otad *o)
{
    if (o->agent.state.phase != SL_PHASE_ARMED) {
        o->idle = o->idle_asked = o->restarted = false;
        return;
    }
    if (o->backend[0] && o->daemon >= 0 && is_open(o))
        otad_event(o, SL_EVENT_GATE_OPEN);
}
