// Prints what was read. Every text in these structs is letters, digits and a few signs, so none
// needs escaping in JSON; messages may quote other things.
#include "ota/bundle/tool_print.h"

#include "ota/bundle/tool.h"

#include <inttypes.h>
#include <stdio.h>

static const char *verified_text(bool verified)
{
    return verified ? "verified" : "signatures not checked";
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void bundle_json(const struct sl_superblock *super, const struct sl_manifest *m,
                        const struct sl_root *root)
{
    char id[2 * SL_HASH + 1], tensor[SL_TENSOR_TEXT];
    tool_hex(super->id, SL_HASH, id);
    sl_tensor_text(&m->tensor, tensor);
    printf("{\"kind\":\"bundle\",\"verified\":%s,\"id\":\"%s\",\"product\":\"%s\",\"version\":"
           "\"%s\",\"epoch\":%u,\"seq\":%" PRIu64 ",\"floor_epoch\":%u,\"floor_seq\":%" PRIu64
           ",\"tensor\":\"%s\",\"octets\":%" PRIu64 ",\"hardware\":[",
           truth(root), id, m->product, m->version, m->number.epoch, m->number.seq, m->floor.epoch,
           m->floor.seq, tensor, super->total);
    for (uint8_t i = 0; i < m->n_hardware; i++)
        printf("%s\"%s\"", i ? "," : "", m->hardware[i]);
    printf("],\"components\":[");
    for (uint16_t i = 0; i < m->n_components; i++) {
        tool_hex(m->components[i].hash, SL_HASH, id);
        printf("%s{\"name\":\"%s\",\"octets\":%" PRIu64 ",\"sha256\":\"%s\"}", i ? "," : "",
               m->components[i].name, m->components[i].length, id);
    }
    printf("],\"limits\":{\"overlap\":%.6f,\"score\":%.6f,\"shadow_frames\":%u,"
           "\"probation_frames\":%u},\"claims\":{\"latency_ms\":%.3f,\"memory\":%" PRIu64 "}",
           m->limits.overlap_ppm / 1e6, m->limits.score_ppm / 1e6, m->limits.shadow_frames,
           m->limits.probation_frames, m->claims.latency_us / 1e3, m->claims.memory);
    if (m->encryption.cipher)
        printf(",\"encrypted_for\":%u", m->encryption.n_recipients);
    if (root)
        printf(",\"root\":%u", root->version);
    printf("}\n");
}

static void bundle_text(const struct sl_superblock *super, const struct sl_manifest *m,
                        const struct sl_root *root)
{
    char id[2 * SL_HASH + 1], tensor[SL_TENSOR_TEXT];
    tool_hex(super->id, SL_HASH, id);
    sl_tensor_text(&m->tensor, tensor);
    printf("bundle %s %s: ", m->product, m->version);
    if (root)
        printf("verified from root %u\n", root->version);
    else
        printf("%s\n", verified_text(false));
    printf("  id         %s\n  number     %u.%" PRIu64 ", floor %u.%" PRIu64 "\n  input      %s\n",
           id, m->number.epoch, m->number.seq, m->floor.epoch, m->floor.seq, tensor);
    printf("  hardware  ");
    for (uint8_t i = 0; i < m->n_hardware; i++)
        printf(" %s", m->hardware[i]);
    printf("\n  accept     overlap %.2f, score %.2f, shadow %u frames, probation %u frames\n",
           m->limits.overlap_ppm / 1e6, m->limits.score_ppm / 1e6, m->limits.shadow_frames,
           m->limits.probation_frames);
    printf("  claims     latency %.1f ms, memory %" PRIu64 " MiB\n", m->claims.latency_us / 1e3,
           m->claims.memory >> 20);
    if (m->encryption.cipher)
        printf("  encrypted  for %u cameras\n", m->encryption.n_recipients);
    printf("  size       %" PRIu64 " octets, %u signatures, components:\n", super->total,
           super->signatures / SL_SIGNATURE_SIZE);
    for (uint16_t i = 0; i < m->n_components; i++)
        printf("    %10" PRIu64 "  %s\n", m->components[i].length, m->components[i].name);
}

void tool_print_bundle(const struct sl_superblock *super, const struct sl_manifest *m,
                       const struct sl_root *root, bool json)
{
    (json ? bundle_json : bundle_text)(super, m, root);
}

static void print_role(const char *name, const struct sl_role *role, bool json)
{
    char id[2 * SL_HASH + 1];
    if (json)
        printf(",\"%s\":{\"threshold\":%u,\"keys\":[", name, role->threshold);
    else
        printf("  %-8s %u of %u\n", name, role->threshold, role->count);
    for (uint8_t i = 0; i < role->count; i++) {
        tool_hex(role->ids[i], SL_HASH, id);
        printf(json ? "%s\"%s\"" : "%s    %s\n", json && i ? "," : "", id);
    }
    if (json)
        printf("]}");
}

void tool_print_root(const struct sl_root *root, bool verified, bool json)
{
    char hash[2 * SL_HASH + 1];
    tool_hex(root->hash, SL_HASH, hash);
    if (json)
        printf("{\"kind\":\"root\",\"verified\":%s,\"version\":%u,\"sha256\":\"%s\"",
               truth(verified), root->version, hash);
    else
        printf("root %u: %s\n  sha256   %s\n", root->version, verified_text(verified), hash);
    print_role("root", &root->root, json);
    print_role("release", &root->release, json);
    print_role("site", &root->site, json);
    if (json)
        printf("}\n");
}

void tool_print_catalog(const struct sl_catalog *catalog, bool verified, bool json)
{
    char id[2 * SL_HASH + 1];
    if (json)
        printf("{\"kind\":\"catalog\",\"verified\":%s,\"number\":%u,\"product\":\"%s\","
               "\"floor_epoch\":%u,\"floor_seq\":%" PRIu64 ",\"revoked\":[",
               truth(verified), catalog->number, catalog->product, catalog->floor.epoch,
               catalog->floor.seq);
    else
        printf("catalog %u of %s: %s\n  floor    %u.%" PRIu64 "\n", catalog->number,
               catalog->product, verified_text(verified), catalog->floor.epoch, catalog->floor.seq);
    for (uint16_t i = 0; i < catalog->n_revoked; i++) {
        tool_hex(catalog->revoked[i], SL_HASH, id);
        printf(json ? "%s\"%s\"" : "%s  revoked  %s\n", json && i ? "," : "", id);
    }
    if (json)
        printf("]}\n");
}

static void order_text(const struct sl_order *order, const char *id, const char *when,
                       bool verified)
{
    printf("order %u of %s: %s\n  bundle   %s\n  when     %s\n  cameras ", order->number,
           order->product, verified_text(verified), id, when);
    for (uint8_t i = 0; i < order->n_cameras; i++)
        printf(" %s", order->cameras[i]);
    printf("%s\n", order->n_cameras ? "" : " every one");
    if (order->permits_downgrade)
        printf("  permits  down to %u.%" PRIu64 "\n", order->downgrade.epoch, order->downgrade.seq);
}

void tool_print_order(const struct sl_order *order, bool verified, bool json)
{
    static const char *const names[] = {"at-once", "line-idle", "next-start", "on-demand"};
    char id[2 * SL_HASH + 1];
    tool_hex(order->bundle, SL_HASH, id);
    if (!json) {
        order_text(order, id, names[order->when - 1], verified);
        return;
    }
    printf("{\"kind\":\"order\",\"verified\":%s,\"number\":%u,\"product\":\"%s\",\"bundle\":\"%s\","
           "\"when\":\"%s\",\"cameras\":[",
           truth(verified), order->number, order->product, id, names[order->when - 1]);
    for (uint8_t i = 0; i < order->n_cameras; i++)
        printf("%s\"%s\"", i ? "," : "", order->cameras[i]);
    printf("]");
    if (order->permits_downgrade)
        printf(",\"downgrade_epoch\":%u,\"downgrade_seq\":%" PRIu64, order->downgrade.epoch,
               order->downgrade.seq);
    printf("}\n");
}

void tool_print_refusal(const struct sl_bundle_error *error)
{
    printf("{\"verified\":false,\"refusal\":\"%s\",\"message\":\"",
           sl_refusal_name(error->refusal));
    for (const unsigned char *c = (const unsigned char *)error->message; *c; c++) {
        if (*c < 0x20 || *c == '"' || *c == '\\')
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    printf("\"}\n");
}
