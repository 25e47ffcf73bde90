// The chain of roots.
#include "ota/bundle/keychain.h"

#include "ota/sha256.h"

#include <sodium.h>
#include <string.h>

static bool read_root_role(struct sl_octets *value, void *out)
{
    struct sl_role *role = &((struct sl_root *)out)->root;
    return sl_take_role(value, role) && role->threshold >= 2; // one stolen key must not do
}

static bool read_release_role(struct sl_octets *value, void *out)
{
    return sl_take_role(value, &((struct sl_root *)out)->release);
}

static bool read_site_role(struct sl_octets *value, void *out)
{
    return sl_take_role(value, &((struct sl_root *)out)->site);
}

static const struct sl_tlv_row rows[] = {
    {SL_ROOT_ROOT, false, "root keys", read_root_role},
    {SL_ROOT_RELEASE, false, "release keys", read_release_role},
    {SL_ROOT_SITE, true, "site keys", read_site_role},
};

static void hash_root(const struct sl_document *d, uint8_t *hash)
{
    sl_sha256(hash, d->message.at, d->message.left);
}

enum sl_refusal sl_root_read(const struct sl_document *document, struct sl_root *out,
                             struct sl_bundle_error *error)
{
    memset(out, 0, sizeof(*out));
    out->version = document->number;
    hash_root(document, out->hash);
    const enum sl_refusal refusal =
        sl_tlv_read(document->body, rows, sizeof(rows) / sizeof(rows[0]), out, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    return sl_check_signatures(&out->root, "root, by its own keys", document->message,
                               document->signatures, error);
}

static enum sl_refusal read_trusted(const struct sl_trust *trust, const struct sl_document *d,
                                    struct sl_root *out, struct sl_bundle_error *error)
{
    uint8_t hash[SL_HASH];
    hash_root(d, hash);
    if (d->number != trust->version || sodium_memcmp(hash, trust->hash, SL_HASH) != 0)
        return sl_refuse(error, SL_REFUSED_ROOT, "root %u is not the trusted root %u", d->number,
                         trust->version);
    return sl_root_read(d, out, error);
}

static enum sl_refusal follow(struct sl_root *newest, struct sl_root *next,
                              const struct sl_document *d, struct sl_bundle_error *error)
{
    if (d->number != newest->version + 1)
        return sl_refuse(error, SL_REFUSED_ROOT, "root %u cannot follow root %u", d->number,
                         newest->version);
    enum sl_refusal refusal = sl_check_signatures(&newest->root, "root, by the keys before it",
                                                  d->message, d->signatures, error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_root_read(d, next, error);
    if (refusal == SL_ACCEPTED)
        *newest = *next;
    return refusal;
}

enum sl_refusal sl_keychain_walk(const struct sl_trust *trust, struct sl_octets chain,
                                 struct sl_root *newest, struct sl_root *next,
                                 struct sl_bundle_error *error)
{
    struct sl_document d;
    enum sl_refusal refusal;
    bool trusted = false;
    uint32_t previous = 0;
    if (trust->document.at) {
        refusal = sl_document_read(trust->document, SL_PREFIX_ROOT, &d, error);
        if (refusal == SL_ACCEPTED)
            refusal = read_trusted(trust, &d, newest, error);
        if (refusal != SL_ACCEPTED)
            return refusal;
        trusted = true;
    }
    while (chain.left > 0) {
        refusal = sl_document_take(&chain, SL_PREFIX_ROOT, &d, error);
        if (refusal != SL_ACCEPTED)
            return refusal;
        if (d.number == 0 || (previous != 0 && d.number - previous != 1))
            return sl_refuse(error, SL_REFUSED_ROOT, "root %u after root %u", d.number, previous);
        previous = d.number;
        if (d.number < trust->version)
            continue;
        refusal = d.number == trust->version ? read_trusted(trust, &d, newest, error)
                  : trusted                  ? follow(newest, next, &d, error)
                                             : sl_refuse(error, SL_REFUSED_ROOT,
                                                         "the chain starts with root %u, "
                                                                          "after the trusted root %u",
                                                         d.number, trust->version);
        if (refusal != SL_ACCEPTED)
            return refusal;
        trusted = true;
    }
    return trusted ? SL_ACCEPTED
                   : sl_refuse(error, SL_REFUSED_ROOT, "the chain lacks the trusted root %u",
                               trust->version);
}

enum sl_refusal sl_trust_document(struct sl_octets octets, struct sl_trust *out,
                                  struct sl_bundle_error *error)
{
    struct sl_document d;
    const enum sl_refusal refusal = sl_document_read(octets, SL_PREFIX_ROOT, &d, error);
    if (refusal != SL_ACCEPTED)
        return refusal;
    out->version = d.number;
    out->document = octets;
    hash_root(&d, out->hash);
    return SL_ACCEPTED;
}
