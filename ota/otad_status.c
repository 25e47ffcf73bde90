// What `sightline slot` asks of the running agent.
#include "ota/otad.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *phase_name(uint8_t phase)
{
    static const char *const names[SL_PHASES] = {"idle",      "fetch",  "armed",
                                                 "self-test", "shadow", "probation"};
    return phase < SL_PHASES ? names[phase] : "unknown";
}

// A text as the inside of a JSON string; cut where there is no room.
static void escape(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; *text && n + 8 < size; text++)
        if (*text == '"' || *text == '\\')
            n += (size_t)snprintf(out + n, size - n, "\\%c", *text);
        else
            out[n++] = (unsigned char)*text < 32 ? ' ' : *text;
    out[n] = '\0';
}

static void write_slot(const struct otad *o, uint8_t slot, const uint8_t *id, char *out,
                       size_t size)
{
    char hex[2 * SL_OTA_ID + 1];
    if (slot >= SL_SLOT_NONE) {
        snprintf(out, size, "null");
        return;
    }
    const struct otad_slot *s = &o->slots[slot];
    otad_hex(id, hex);
    if (s->known)
        snprintf(out, size,
                 "{\"slot\":\"%s\",\"id\":\"%s\",\"number\":\"%" PRIu32 ".%" PRIu64
                 "\",\"version\":\"%s\"}",
                 sl_storage_slot_name(slot), hex, s->number.epoch, s->number.seq, s->version);
    else
        snprintf(out, size, "{\"slot\":\"%s\",\"id\":\"%s\"}", sl_storage_slot_name(slot), hex);
}

// What a bundle that is armed waits for.
static const char *waits(const struct otad *o)
{
    static const char *const names[SL_WHENS] = {"", "daemon", "line-idle", "next-start",
                                                "on-demand"};
    return o->agent.state.phase == SL_PHASE_ARMED ? names[otad_gate(o)] : "";
}

void otad_status(const struct otad *o, char *json, size_t size)
{
    const struct sl_ota_state *s = &o->agent.state;
    char active[256], pending[256], reason[240];
    const uint32_t n = o->writing ? o->writer.n_chunks : 0;
    const uint32_t have = o->writing ? o->writer.n_have : 0;
    write_slot(o, s->active, s->active_id, active, sizeof(active));
    write_slot(o, s->pending, s->pending_id, pending, sizeof(pending));
    escape(o->reason, reason, sizeof(reason));
    snprintf(json, size,
             "{\"phase\":\"%s\",\"active\":%s,\"pending\":%s,\"last_result\":\"%s\","
             "\"reason\":\"%s\",\"degraded\":%s,\"daemon\":%s,\"denied\":%" PRIu32
             ",\"chunks\":%" PRIu32 ",\"fetched\":%" PRIu32 ",\"catalog\":%" PRIu32
             ",\"order\":%" PRIu32 ",\"waits\":\"%s\",\"revoked\":%s}",
             phase_name(s->phase), active, pending, sl_result_name(s->result), reason,
             s->degraded ? "true" : "false", o->daemon >= 0 ? "true" : "false", s->n_denied, n,
             have, s->catalog.number, s->order.number, waits(o),
             otad_serves_revoked(o) ? "true" : "false");
}

void otad_client_accept(struct otad *o)
{
    const int fd = sl_control_accept(o->listener, "sightline-control");
    if (fd < 0)
        return;
    if (o->client >= 0)
        close(o->client);
    o->client = fd;
}

static void answer(struct otad *o, int status)
{
    memset(&o->out, 0, sizeof(o->out));
    o->out.version = SL_CONTROL_VERSION;
    o->out.verb = status == 0 ? SL_CONTROL_STATE : SL_CONTROL_FAILED;
    if (status == 0)
        otad_status(o, o->out.text, sizeof(o->out.text));
    else
        snprintf(o->out.text, sizeof(o->out.text), "%s",
                 status == -ENOENT ? "the other slot holds nothing that may run"
                                   : strerror(-status));
    sl_control_send(o->client, &o->out, -1);
}

void otad_client_ready(struct otad *o)
{
    int fd = -1;
    const int status = sl_control_receive(o->client, &o->in, &fd, MSG_DONTWAIT);
    if (fd >= 0)
        close(fd);
    if (status == -EAGAIN)
        return;
    if (status < 0 || o->in.verb != SL_CONTROL_ASK) {
        close(o->client);
        o->client = -1;
        return;
    }
    answer(o, strcmp(o->in.text, "status") ? otad_ask(o, o->in.text) : 0);
}
