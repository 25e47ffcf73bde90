// Fuzz target: bytes are orders and catalogs, one after the other, as a stick or the broker brings
// them: as they are, and signed by who may. What is accepted goes to the state machine, whose
// record must stay readable and whose numbers must rise.
#include "bundle_make.h"

#include "ota/agent.h"
#include "ota/bundle/catalog.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct sl_agent agent;
static struct sl_root root;

static int load(void *context, struct sl_ota_state *state)
{
    (void)context;
    *state = (struct sl_ota_state){.sequence = 1, .active = SL_SLOT_A, .pending = SL_SLOT_NONE};
    return 0;
}

static int save(void *context, const struct sl_ota_state *state)
{
    static struct sl_ota_state next, found;
    uint8_t record[SL_STATE_RECORD];
    (void)context;
    next = *state;
    next.sequence++;
    sl_state_encode(&next, record);
    if (sl_state_decode(record, &found) != 0 || found.order.number < agent.state.order.number ||
        found.catalog.number < agent.state.catalog.number)
        abort();
    return 0;
}

static int authentic(void *context, enum sl_slot_name slot, struct sl_bundle_facts *facts)
{
    (void)context;
    *facts = (struct sl_bundle_facts){.number = {1, 5}};
    return slot == SL_SLOT_A ? 0 : -EBADMSG;
}

static int seal(void *context, enum sl_slot_name slot)
{
    (void)context;
    (void)slot;
    return 0;
}

static uint64_t now_ms(void *context)
{
    (void)context;
    return 1;
}

static uint32_t chance(void *context)
{
    (void)context;
    return 1;
}

static void obey(const struct sl_order *found)
{
    enum sl_agent_action action;
    struct sl_ota_order order = {found->number,
                                 found->when,
                                 found->permits_downgrade,
                                 {found->downgrade.epoch, found->downgrade.seq},
                                 {0}};
    memcpy(order.bundle, found->bundle, sizeof(order.bundle));
    const struct sl_agent_event event = {.kind = SL_EVENT_ORDER, .order = &order};
    struct sl_agent_event offer = {.kind = SL_EVENT_OFFER, .facts = {.number = {1, 4}}};
    sl_agent_handle(&agent, &event, &action);
    memcpy(offer.facts.id, found->bundle, sizeof(offer.facts.id));
    if (sl_agent_handle(&agent, &offer, &action) == 0 && !agent.state.order.permits)
        abort(); // an older one without a permit
    if (agent.state.phase != SL_PHASE_IDLE && !agent.state.order.permits)
        abort(); // the order that permitted it is not the newest
}

static void revoke(const struct sl_catalog *found)
{
    static struct sl_ota_catalog catalog;
    enum sl_agent_action action;
    catalog = (struct sl_ota_catalog){
        found->number, found->n_revoked, {found->floor.epoch, found->floor.seq}, {{0}}};
    memcpy(catalog.revoked, found->revoked, sizeof(catalog.revoked));
    const struct sl_agent_event event = {.kind = SL_EVENT_CATALOG, .catalog = &catalog};
    sl_agent_handle(&agent, &event, &action);
    if (agent.state.phase != SL_PHASE_IDLE &&
        sl_state_is_revoked(&agent.state, agent.state.pending_id, agent.state.pending_number))
        abort();
}

static void judge(struct sl_octets octets)
{
    static struct sl_order order;
    static struct sl_catalog catalog;
    if (sl_order_verify(octets, &root, NULL, "cam1", &order, NULL) == SL_ACCEPTED)
        obey(&order);
    if (sl_catalog_verify(octets, &root, NULL, &catalog, NULL) == SL_ACCEPTED)
        revoke(&catalog);
}

// The body as it is, with the length and the signatures that it should have.
static void judge_signed(const uint8_t *bytes, size_t size, const char *prefix, const char *letters)
{
    uint8_t document[SL_DOCUMENT_MAX] = {0}, public[32], secret[64];
    if (size < SL_DOCUMENT_BODY_AT || size > SL_DOCUMENT_MAX - 4 - 2 * SL_SIGNATURE_SIZE)
        return;
    memcpy(document, bytes, size);
    memcpy(document, prefix, SL_PREFIX);
    const uint32_t length = (uint32_t)(size - SL_DOCUMENT_BODY_AT);
    memcpy(document + SL_DOCUMENT_LENGTH_AT, &length, 4);
    size += 4;
    for (; *letters; letters++) {
        made_key(*letters, public, secret);
        if (!sl_document_sign(document, &size, prefix, secret))
            return;
    }
    judge((struct sl_octets){document, size});
}

static void begin(void)
{
    static const struct sl_agent_ports ports = {NULL, load, save, seal, authentic, now_ms, chance};
    static const struct sl_agent_limits limits = {1000, 1000, 1000, 10, 3};
    uint8_t octets[SL_DOCUMENT_MAX];
    struct sl_document document;
    enum sl_agent_action action;
    if (root.version == 0) {
        const size_t length = made_root(octets, 1, "abc", "xyz", 2, "ab");
        if (sl_document_read((struct sl_octets){octets, length}, SL_PREFIX_ROOT, &document, NULL) ||
            sl_root_read(&document, &root, NULL))
            abort();
    }
    agent.state = (struct sl_ota_state){0};
    if (sl_agent_start(&agent, &ports, &limits, &action) != 0)
        abort();
}

// Documents are two octets of length, and so many of document.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (sodium_init() < 0)
        abort();
    begin();
    for (unsigned i = 0; size >= 2 && i < 16; i++) {
        const size_t wanted = bytes[0] | (size_t)bytes[1] << 8, left = size - 2;
        const size_t length = wanted < left ? wanted : left;
        bytes += 2;
        judge((struct sl_octets){bytes, length});
        judge_signed(bytes, length, SL_PREFIX_ORDER, "s");
        judge_signed(bytes, length, SL_PREFIX_CATALOG, "xy");
        bytes += length;
        size = left - length;
    }
    return 0;
}
