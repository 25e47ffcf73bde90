// Tests of what is signed: the manifest's TLV, roots and their chain, catalogs and orders.
#include "bundle_make.h"

#include "ota/bundle/catalog.h"
#include "ota/bundle/tensor.h"
#include "ota/usb/bytes.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct made m;
static struct sl_bundle bundle;
static struct sl_bundle_error error;
static struct sl_trust trust;
static const struct sl_bundle_policy any;

static enum sl_refusal verify(void)
{
    const struct sl_bundle_source source = made_source(&m);
    return sl_bundle_verify(&bundle, &source, &trust, &any, &error);
}

static int begin(void **state)
{
    (void)state;
    made_begin(&m);
    trust = made_trust(&m);
    return 0;
}

static int end(void **state)
{
    (void)state;
    made_free(&m);
    return 0;
}

// The text as it is now, signed.
static enum sl_refusal verify_text(void)
{
    m.signatures_size = 0;
    made_sign(&m, "xy");
    made_finish(&m);
    return verify();
}

static uint8_t *value_of(uint16_t tag, uint32_t *length)
{
    size_t at = 0;
    while (sl_le16(m.text + at) != tag)
        at += SL_TLV_VALUE_AT + sl_le32(m.text + at + 2);
    *length = sl_le32(m.text + at + 2);
    return m.text + at + SL_TLV_VALUE_AT;
}

static void append(uint16_t tag, uint32_t length)
{
    sl_put16(m.text + m.text_size, tag);
    sl_put32(m.text + m.text_size + 2, length);
    m.text_size += SL_TLV_VALUE_AT;
    memset(m.text + m.text_size, 0, length < 64 ? length : 0);
    m.text_size += length < 64 ? length : 0;
}

static void tags_that_are_not_known(void **state)
{
    (void)state;
    made_encode(&m);
    const size_t size = m.text_size;
    append(SL_TAG_OPTIONAL, 3);
    append(SL_TAG_OPTIONAL + 1, 0);
    assert_int_equal(verify_text(), SL_ACCEPTED);
    append(SL_TAG_OPTIONAL + 1, 0); // again
    assert_int_equal(verify_text(), SL_REFUSED_FORMAT);
    m.text_size = size;
    append(SL_MANIFEST_ENCRYPTION + 1, 3); // one that must be understood
    assert_int_equal(verify_text(), SL_REFUSED_FORMAT);
    assert_non_null(strstr(error.message, "not known"));
    m.text_size = size;
    append(SL_MANIFEST_CLAIMS, 12); // twice
    assert_int_equal(verify_text(), SL_REFUSED_FORMAT);
    m.text_size = size;
    append(0, 0);
    assert_int_equal(verify_text(), SL_REFUSED_FORMAT);
}

static void values_that_end_elsewhere(void **state)
{
    (void)state;
    made_encode(&m);
    const size_t size = m.text_size;
    for (size_t cut = 1; cut < size; cut++) { // truncated at every octet
        m.text_size = cut;
        const enum sl_refusal refusal = verify_text();
        assert_true(refusal == SL_REFUSED_TRUNCATED || refusal == SL_REFUSED_FORMAT);
    }
    m.text_size = size;
    append(SL_TAG_OPTIONAL, UINT32_MAX);
    assert_int_equal(verify_text(), SL_REFUSED_TRUNCATED);
    m.text_size = size;
    m.text[m.text_size++] = 0;
    assert_int_equal(verify_text(), SL_REFUSED_TRUNCATED);
}

static void every_tag_is_needed(void **state)
{
    uint8_t whole[1024];
    (void)state;
    made_encode(&m);
    const size_t size = m.text_size;
    memcpy(whole, m.text, size);
    for (size_t at = 0; at < size;) {
        const size_t length = SL_TLV_VALUE_AT + sl_le32(whole + at + 2);
        memcpy(m.text, whole, at);
        memcpy(m.text + at, whole + at + length, size - at - length);
        m.text_size = size - length;
        assert_int_equal(verify_text(), SL_REFUSED_FORMAT);
        assert_non_null(strstr(error.message, "missing"));
        at += length;
    }
}

// Each value with each length from 0 to two more than its own, under a right length field.
static void values_of_every_length(void **state)
{
    static uint8_t whole[1024];
    (void)state;
    made_encode(&m);
    const size_t size = m.text_size;
    memcpy(whole, m.text, size);
    for (size_t at = 0; at < size; at += SL_TLV_VALUE_AT + sl_le32(whole + at + 2)) {
        const size_t length = sl_le32(whole + at + 2), start = at + SL_TLV_VALUE_AT;
        const bool text = whole[at] == SL_MANIFEST_PRODUCT || whole[at] == SL_MANIFEST_VERSION;
        for (size_t n = 0; n <= length + 2; n++) {
            memset(m.text, 0, start + length + 2);
            memcpy(m.text, whole, start + (n < length ? n : length));
            sl_put32(m.text + at + 2, (uint32_t)n);
            memcpy(m.text + start + n, whole + start + length, size - start - length);
            m.text_size = size - length + n;
            const enum sl_refusal refusal = verify_text();
            // a shorter text is a text, and a tensor of lower rank a tensor
            const bool may =
                n == length || (text && n > 0 && n < length) ||
                (whole[at] == SL_MANIFEST_TENSOR && n > 2 && n < length && n % 4 == 2) ||
                (whole[at] == SL_MANIFEST_HARDWARE && n == 7);
            if ((refusal == SL_ACCEPTED) != may)
                fail_msg("tag %u with %zu octets: %d", whole[at], n, refusal);
        }
    }
}

static void most_components(void **state)
{
    (void)state;
    char name[8];
    m.manifest.n_components = 0;
    m.manifest.payload = 0;
    for (int i = 0; i < SL_COMPONENTS_MAX; i++) {
        snprintf(name, sizeof(name), "%03d", i);
        made_component(&m, name, 1);
    }
    made_encode(&m);
    assert_int_equal(verify_text(), SL_ACCEPTED);
    uint32_t length;
    uint8_t *value = value_of(SL_MANIFEST_COMPONENTS, &length); // one more of the 52 octets each
    memmove(value + length + 52, value + length, m.text_size - (size_t)(value + length - m.text));
    memcpy(value + length, value + length - 52, 52);
    value[length + 3] = 'x';
    sl_put64(value + length + 4, m.manifest.payload);
    sl_put32(value - 4, length + 52);
    m.text_size += 52;
    sl_put64(value_of(SL_MANIFEST_PAYLOAD, &length), m.manifest.payload + SL_PAGE);
    m.manifest.payload += SL_PAGE;
    assert_int_equal(verify_text(), SL_REFUSED_FORMAT);
    assert_non_null(strstr(error.message, "components"));
}

struct spoil {
    uint16_t tag;
    uint32_t at;
    uint8_t octet;
};

static void values_out_of_range(void **state)
{
    // The value's octet `at` is changed to `octet`.
    static const struct spoil spoils[] = {
        {SL_MANIFEST_PRODUCT, 0, '/'},      {SL_MANIFEST_PRODUCT, 2, '\0'},
        {SL_MANIFEST_PRODUCT, 2, ' '},      {SL_MANIFEST_PRODUCT, 2, 0x80},
        {SL_MANIFEST_HARDWARE, 0, 0},       {SL_MANIFEST_HARDWARE, 0, 64},
        {SL_MANIFEST_HARDWARE, 0, 255},     {SL_MANIFEST_HARDWARE, 3, '"'},
        {SL_MANIFEST_TENSOR, 0, 0},         {SL_MANIFEST_TENSOR, 0, 4},
        {SL_MANIFEST_TENSOR, 1, 0},         {SL_MANIFEST_TENSOR, 1, 3},
        {SL_MANIFEST_TENSOR, 2, 0}, // a dimension of 0
        {SL_MANIFEST_FLOOR, 0, 3},  // above the number
        {SL_MANIFEST_FLOOR, 4, 41},         {SL_MANIFEST_VERSION, 0, '\n'},
        {SL_MANIFEST_PAYLOAD, 0, 1}, // not whole pages
        {SL_MANIFEST_PAYLOAD, 4, 1}, // beyond 2 GiB
        {SL_MANIFEST_PAYLOAD, 7, 0xFF},     {SL_MANIFEST_PAYLOAD, 1, 0x40},
        {SL_MANIFEST_COMPONENTS, 0, 0},     {SL_MANIFEST_COMPONENTS, 0, 128},
        {SL_MANIFEST_COMPONENTS, 1, '/'},   {SL_MANIFEST_COMPONENTS, 8, '/'},
        {SL_MANIFEST_COMPONENTS, 1, 'z'}, // no longer the first
        {SL_MANIFEST_COMPONENTS, 16, 1},  // offset
        {SL_MANIFEST_COMPONENTS, 24, 0},  // length 0
        {SL_MANIFEST_COMPONENTS, 26, 1},  // length of the next page too
        {SL_MANIFEST_COMPONENTS, 31, 0xFF}, {SL_MANIFEST_LIMITS, 3, 1},
        {SL_MANIFEST_LIMITS, 7, 1},
    };
    (void)state;
    made_encode(&m);
    assert_int_equal(verify_text(), SL_ACCEPTED);
    for (size_t i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
        uint32_t length;
        uint8_t *value = value_of(spoils[i].tag, &length);
        assert_true(spoils[i].at < length);
        const uint8_t before = value[spoils[i].at];
        value[spoils[i].at] = spoils[i].octet;
        if (verify_text() == SL_ACCEPTED)
            fail_msg("tag %u with %u at %u is accepted", spoils[i].tag, spoils[i].octet,
                     spoils[i].at);
        value[spoils[i].at] = before;
    }
}

static void names_that_are_paths(void **state)
{
    static const char *const names[] = {
        "../etc/passwd", "/etc/passwd", "a/../b", "a//b", "a/", ".", "..", "a/.", "./a", ""};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint8_t octets[64] = {(uint8_t)strlen(names[i])};
        char out[64];
        memcpy(octets + 1, names[i], strlen(names[i]));
        struct sl_octets value = {octets, 1 + strlen(names[i])};
        assert_false(sl_take_text(&value, true, out, sizeof(out)));
    }
    uint8_t good[] = "\13a/..b/c...d";
    char out[12];
    struct sl_octets value = {good, 12};
    assert_true(sl_take_text(&value, true, out, sizeof(out)));
    assert_string_equal(out, "a/..b/c...d");
    value = (struct sl_octets){good, 12};
    assert_false(sl_take_text(&value, true, out, 11)); // no room for it
    value = (struct sl_octets){good, 0};
    assert_false(sl_take_text(&value, true, out, sizeof(out)));
}

static void too_many_of_something(void **state)
{
    (void)state;
    made_encode(&m);
    assert_true(m.text_size > 0);
    m.manifest.n_hardware = SL_HARDWARE_MAX;
    for (int i = 0; i < SL_HARDWARE_MAX; i++)
        strcpy(m.manifest.hardware[i], "h");
    assert_true(sl_manifest_write(&m.manifest, m.text, sizeof(m.text)) > 0);
    // one more, by hand: the encoder's struct has no room for it
    static struct sl_manifest out;
    uint8_t text[128] = {SL_MANIFEST_PRODUCT, 0, 1, 0, 0, 0, 'p', SL_MANIFEST_HARDWARE, 0};
    const uint8_t lengths[] = {2 * SL_HARDWARE_MAX, 2 * SL_HARDWARE_MAX + 2};
    for (int i = 0; i < 2; i++) {
        text[9] = lengths[i];
        for (int k = 0; k < lengths[i]; k += 2)
            memcpy(text + 13 + k, "\1h", 2);
        assert_int_equal(sl_manifest_read((struct sl_octets){text, 13u + lengths[i]}, &out, &error),
                         SL_REFUSED_FORMAT);
        assert_non_null(strstr(error.message, i ? "hardware: its" : "tensor: missing"));
    }
    static uint8_t keys[1 + 13 * SL_KEY];
    static struct sl_role role;
    keys[0] = 1;
    for (int i = 0; i < 13; i++)
        keys[1 + i * SL_KEY] = (uint8_t)i;
    struct sl_octets value = {keys, 1 + 12 * SL_KEY};
    assert_true(sl_take_role(&value, &role));
    value = (struct sl_octets){keys, sizeof(keys)};
    assert_false(sl_take_role(&value, &role));
}

// Roots.

static void add_root(uint32_t version, const char *root, const char *signers)
{
    m.chain_size += made_root(m.chain + m.chain_size, version, root, "xyz", 2, signers);
}

static enum sl_refusal verify_chain(void)
{
    m.signatures_size = 0;
    made_encode(&m);
    made_sign(&m, "xy");
    made_finish(&m);
    return verify();
}

static void roots_that_follow_each_other(void **state)
{
    (void)state;
    add_root(2, "bcd", "abcd");
    add_root(3, "def", "cdef");
    assert_int_equal(verify_chain(), SL_ACCEPTED);
    assert_int_equal(bundle.root.version, 3);
    assert_int_equal(bundle.trust_next.version, 3);
    // a camera that is at 3 skips 1 and 2, and one that has the document needs no chain
    trust = bundle.trust_next;
    uint8_t document[SL_DOCUMENT_MAX];
    memcpy(document, trust.document.at, trust.document.left);
    const size_t size = trust.document.left;
    trust.document = (struct sl_octets){NULL, 0};
    assert_int_equal(verify_chain(), SL_ACCEPTED);
    m.chain_size = 0;
    assert_int_equal(verify_chain(), SL_REFUSED_ROOT);
    trust.document = (struct sl_octets){document, size};
    assert_int_equal(verify_chain(), SL_ACCEPTED);
    assert_ptr_equal(bundle.trust_next.document.at, document);
    document[30] ^= 1;
    assert_int_equal(verify_chain(), SL_REFUSED_ROOT);
    trust.document.left--;
    assert_int_equal(verify_chain(), SL_REFUSED_TRUNCATED);
}

static void a_trusted_document_and_a_chain(void **state)
{
    uint8_t document[SL_DOCUMENT_MAX];
    (void)state;
    const struct sl_octets octets = {document, m.chain_size};
    memcpy(document, m.chain, m.chain_size);
    assert_int_equal(sl_trust_document(octets, &trust, &error), SL_ACCEPTED);
    assert_int_equal(verify_chain(), SL_ACCEPTED);
    m.chain_size = 0;
    add_root(2, "def", "abde");
    assert_int_equal(verify_chain(), SL_ACCEPTED); // follows the document
    m.chain_size = 0;
    add_root(3, "def", "abde");
    assert_int_equal(verify_chain(), SL_REFUSED_ROOT); // a gap
    trust.version++;
    assert_int_equal(verify_chain(), SL_REFUSED_ROOT); // not the document of that version
    document[0]++;
    assert_int_equal(sl_trust_document(octets, &trust, &error), SL_REFUSED_FORMAT);
}

static void old_bundle_after_the_release_keys_changed(void **state)
{
    uint8_t document[SL_DOCUMENT_MAX];
    (void)state;
    assert_int_equal(verify_chain(), SL_ACCEPTED); // a bundle of the time of root 1
    m.chain_size += made_root(m.chain + m.chain_size, 2, "abc", "uvw", 2, "abc");
    made_encode(&m);
    m.signatures_size = 0;
    made_sign(&m, "uv");
    made_finish(&m);
    assert_int_equal(verify(), SL_ACCEPTED);
    trust = bundle.trust_next;
    memcpy(document, trust.document.at, trust.document.left);
    trust.document.at = document;
    m.chain_size = made_root(m.chain, 1, "abc", "xyz", 2, "ab");
    assert_int_equal(verify_chain(), SL_REFUSED_THRESHOLD); // its keys are no longer good
}

static void chains_that_do_not_hold(void **state)
{
    static const struct {
        uint32_t version;
        const char *root, *signers;
        enum sl_refusal expected;
    } cases[] = {
        {3, "bcd", "abcd", SL_REFUSED_ROOT},     // a gap
        {1, "bcd", "abcd", SL_REFUSED_ROOT},     // the same version again
        {0, "bcd", "abcd", SL_REFUSED_ROOT},     //
        {2, "def", "def", SL_REFUSED_THRESHOLD}, // not by the old ones
        {2, "def", "abc", SL_REFUSED_THRESHOLD}, // not by the new ones
        {2, "def", "ade", SL_REFUSED_THRESHOLD}, // one of the old is too few
        {2, "def", "abd", SL_REFUSED_THRESHOLD}, // one of the new is too few
        {2, "def", "", SL_REFUSED_THRESHOLD},    {2, "def", "abde", SL_ACCEPTED},
    };
    (void)state;
    const size_t size = m.chain_size;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        m.chain_size = size;
        add_root(cases[i].version, cases[i].root, cases[i].signers);
        if (verify_chain() != cases[i].expected)
            fail_msg("chain %zu: %s", i, error.message);
    }
}

// Also where it is older than what is trusted, and so not read.
static void a_gap_before_the_trusted_root(void **state)
{
    (void)state;
    add_root(2, "abc", "abc");
    add_root(3, "abc", "abc");
    assert_int_equal(verify_chain(), SL_ACCEPTED);
    trust = bundle.trust_next;
    trust.document = (struct sl_octets){NULL, 0};
    m.chain_size = made_root(m.chain, 1, "abc", "xyz", 2, "abc");
    add_root(3, "abc", "abc");
    assert_int_equal(verify_chain(), SL_REFUSED_ROOT);
}

static void another_root_of_the_same_version(void **state)
{
    (void)state;
    m.chain_size = made_root(m.chain, 1, "mno", "xyz", 2, "mno");
    assert_int_equal(verify_chain(), SL_REFUSED_ROOT);
    m.chain_size = made_root(m.chain, 2, "mno", "xyz", 2, "mno"); // starts after the trusted one
    assert_int_equal(verify_chain(), SL_REFUSED_ROOT);
}

static void roots_that_are_damaged(void **state)
{
    (void)state;
    add_root(2, "def", "abde");
    const size_t whole = m.chain_size;
    for (size_t cut = whole - 1; cut > whole - 300; cut--) {
        m.chain_size = cut;
        assert_int_not_equal(verify_chain(), SL_ACCEPTED);
    }
    m.chain_size = whole;
    for (size_t at = 0; at < whole; at++) {
        m.chain[at] ^= 0x04;
        if (verify_chain() == SL_ACCEPTED && bundle.root.version != 1)
            fail_msg("octet %zu of the chain does not matter", at);
        m.chain[at] ^= 0x04;
    }
    m.chain[m.chain_size++] = 0;
    assert_int_equal(verify_chain(), SL_REFUSED_TRUNCATED);
}

static void roots_that_nobody_should_make(void **state)
{
    uint8_t out[SL_DOCUMENT_MAX];
    struct sl_root root = {.version = 1};
    uint8_t secret[64];
    (void)state;
    made_key('a', root.root.keys[0], secret);
    made_key('a', root.root.keys[1], secret);
    root.root.count = 2;
    root.root.threshold = 2;
    root.release = root.root;
    root.release.count = root.release.threshold = 1;
    assert_int_equal(sl_root_write(&root, out), 0); // one key twice
    made_key('b', root.root.keys[1], secret);
    if (memcmp(root.root.keys[0], root.root.keys[1], SL_KEY) > 0) {
        memcpy(root.root.keys[1], root.root.keys[0], SL_KEY);
        made_key('b', root.root.keys[0], secret);
    }
    assert_true(sl_root_write(&root, out) > 0);
    root.root.threshold = 1;
    assert_int_equal(sl_root_write(&root, out), 0); // one stolen key would do
    root.root.threshold = 3;
    assert_int_equal(sl_root_write(&root, out), 0);
    root.root.threshold = 2;
    root.release.threshold = 0;
    assert_int_equal(sl_root_write(&root, out), 0);
}

// Catalogs and orders.

static struct sl_root root_one(void)
{
    struct sl_root root, next;
    assert_int_equal(
        sl_keychain_walk(&trust, (struct sl_octets){m.chain, m.chain_size}, &root, &next, &error),
        SL_ACCEPTED);
    return root;
}

static void sign_document(uint8_t *octets, size_t *size, const char *prefix, const char *letters)
{
    uint8_t public[32], secret[64];
    for (; *letters; letters++) {
        made_key(*letters, public, secret);
        assert_true(sl_document_sign(octets, size, prefix, secret));
    }
}

static void catalogs(void **state)
{
    static struct sl_catalog catalog = {
        .number = 4, .product = "boards", .floor = {2, 20}, .n_revoked = SL_REVOKED_MAX};
    static struct sl_catalog out;
    const struct sl_root root = root_one();
    uint8_t octets[SL_DOCUMENT_MAX];
    (void)state;
    for (int i = 0; i < SL_REVOKED_MAX; i++)
        catalog.revoked[i][0] = (uint8_t)(i + 1);
    size_t size = sl_catalog_write(&catalog, octets);
    assert_true(size > 0);
    struct sl_octets file = {octets, size};
    assert_int_equal(sl_catalog_verify(file, &root, NULL, &out, &error), SL_REFUSED_THRESHOLD);
    sign_document(octets, &size, SL_PREFIX_CATALOG, "sx"); // a site's key may not
    file.left = size;
    assert_int_equal(sl_catalog_verify(file, &root, NULL, &out, &error), SL_REFUSED_THRESHOLD);
    sign_document(octets, &size, SL_PREFIX_CATALOG, "y");
    file.left = size;
    assert_int_equal(sl_catalog_verify(file, &root, "boards", &out, &error), SL_ACCEPTED);
    assert_int_equal(out.n_revoked, SL_REVOKED_MAX);
    assert_int_equal(out.floor.seq, 20);
    assert_int_equal(out.number, 4);
    assert_int_equal(sl_catalog_verify(file, &root, "bottles", &out, &error), SL_REFUSED_PRODUCT);
    octets[8] ^= 1; // its number is signed
    assert_int_equal(sl_catalog_verify(file, &root, NULL, &out, &error), SL_REFUSED_SIGNATURE);
    octets[8] ^= 1;
    for (size_t cut = 0; cut < size; cut += 7) {
        file.left = cut;
        assert_int_equal(sl_catalog_verify(file, &root, NULL, &out, &error), SL_REFUSED_TRUNCATED);
    }
    memcpy(catalog.revoked[1], catalog.revoked[0], SL_HASH);
    assert_int_equal(sl_catalog_write(&catalog, octets), 0); // the same id twice
}

static void a_catalog_is_no_order(void **state)
{
    static struct sl_catalog catalog = {.number = 4, .product = "boards"};
    static struct sl_order order;
    const struct sl_root root = root_one();
    uint8_t octets[SL_DOCUMENT_MAX];
    (void)state;
    size_t size = sl_catalog_write(&catalog, octets);
    sign_document(octets, &size, SL_PREFIX_CATALOG, "sxy");
    assert_int_equal(
        sl_order_verify((struct sl_octets){octets, size}, &root, NULL, NULL, &order, &error),
        SL_REFUSED_FORMAT);
    memcpy(octets, SL_PREFIX_ORDER, SL_PREFIX);
    assert_int_equal(
        sl_order_verify((struct sl_octets){octets, size}, &root, NULL, NULL, &order, &error),
        SL_REFUSED_SIGNATURE);
    assert_int_equal(
        sl_order_verify((struct sl_octets){octets, size + 1}, &root, NULL, NULL, &order, &error),
        SL_REFUSED_OVERSIZED);
}

static void orders(void **state)
{
    static struct sl_order order = {.number = 9,
                                    .product = "boards",
                                    .bundle = {1, 2, 3},
                                    .n_cameras = 2,
                                    .cameras = {"cam1", "cam2"},
                                    .when = SL_ORDER_LINE_IDLE,
                                    .permits_downgrade = true,
                                    .downgrade = {1, 5}};
    static struct sl_order out;
    const struct sl_root root = root_one();
    uint8_t octets[SL_DOCUMENT_MAX];
    (void)state;
    size_t size = sl_order_write(&order, octets);
    sign_document(octets, &size, SL_PREFIX_ORDER, "xyz"); // release keys may not
    struct sl_octets file = {octets, size};
    assert_int_equal(sl_order_verify(file, &root, NULL, NULL, &out, &error), SL_REFUSED_THRESHOLD);
    sign_document(octets, &size, SL_PREFIX_ORDER, "s");
    file.left = size;
    assert_int_equal(sl_order_verify(file, &root, "boards", "cam2", &out, &error), SL_ACCEPTED);
    assert_true(out.permits_downgrade);
    assert_int_equal(out.downgrade.seq, 5);
    assert_int_equal(out.bundle[2], 3);
    assert_int_equal(sl_order_verify(file, &root, "boards", "cam3", &out, &error),
                     SL_REFUSED_CAMERA);
    assert_int_equal(sl_order_verify(file, &root, "x", "cam2", &out, &error), SL_REFUSED_PRODUCT);
    order.n_cameras = 0;
    order.permits_downgrade = false;
    size = sl_order_write(&order, octets);
    sign_document(octets, &size, SL_PREFIX_ORDER, "s");
    file.left = size;
    assert_int_equal(sl_order_verify(file, &root, NULL, "cam3", &out, &error), SL_ACCEPTED);
    assert_false(out.permits_downgrade);
    order.when = SL_ORDER_WHENS;
    assert_int_equal(sl_order_write(&order, octets), 0);
    order.when = 0;
    assert_int_equal(sl_order_write(&order, octets), 0);
}

// Bodies with one value of every length; only the right ones are read.
static unsigned accepted_lengths(const uint8_t *octets, size_t size, uint16_t tag, char kind)
{
    static struct sl_catalog catalog;
    static struct sl_order order;
    static uint8_t body[SL_DOCUMENT_MAX];
    unsigned accepted = 0;
    size_t at = SL_DOCUMENT_BODY_AT;
    const size_t end_at = SL_DOCUMENT_BODY_AT + sl_le32(octets + SL_DOCUMENT_LENGTH_AT);
    assert_true(end_at <= size);
    while (sl_le16(octets + at) != tag)
        at += SL_TLV_VALUE_AT + sl_le32(octets + at + 2);
    const size_t start = at + SL_TLV_VALUE_AT, length = sl_le32(octets + at + 2);
    for (size_t n = 0; n <= length + 1; n++) {
        memset(body, 0, sizeof(body));
        memcpy(body, octets + SL_DOCUMENT_BODY_AT,
               start - SL_DOCUMENT_BODY_AT + (n < length ? n : length));
        sl_put32(body + at - SL_DOCUMENT_BODY_AT + 2, (uint32_t)n);
        memcpy(body + start - SL_DOCUMENT_BODY_AT + n, octets + start + length,
               end_at - start - length);
        const struct sl_document d = {.body = {body, end_at - SL_DOCUMENT_BODY_AT - length + n}};
        accepted += (kind == 'c' ? sl_catalog_read(&d, &catalog, &error)
                                 : sl_order_read(&d, &order, &error)) == SL_ACCEPTED;
    }
    return accepted;
}

static void bodies_with_values_of_every_length(void **state)
{
    static const struct sl_catalog catalog = {
        .product = "p", .n_revoked = 3, .revoked = {{1}, {2}, {3}}};
    static const struct sl_order order = {.product = "p",
                                          .n_cameras = 2,
                                          .cameras = {"a", "b"},
                                          .when = SL_ORDER_AT_ONCE,
                                          .permits_downgrade = true};
    uint8_t octets[SL_DOCUMENT_MAX];
    (void)state;
    size_t size = sl_catalog_write(&catalog, octets);
    assert_int_equal(accepted_lengths(octets, size, SL_CATALOG_PRODUCT, 'c'), 1);
    assert_int_equal(accepted_lengths(octets, size, SL_CATALOG_FLOOR, 'c'), 1);
    assert_int_equal(accepted_lengths(octets, size, SL_CATALOG_REVOKED, 'c'), 4);
    size = sl_order_write(&order, octets);
    assert_int_equal(accepted_lengths(octets, size, SL_ORDER_PRODUCT, 'o'), 1);
    assert_int_equal(accepted_lengths(octets, size, SL_ORDER_BUNDLE, 'o'), 1);
    assert_int_equal(accepted_lengths(octets, size, SL_ORDER_CAMERAS, 'o'), 2);
    assert_int_equal(accepted_lengths(octets, size, SL_ORDER_WHEN, 'o'), 1);
    assert_int_equal(accepted_lengths(octets, size, SL_ORDER_DOWNGRADE, 'o'), 1);
}

static void lists_that_are_too_long(void **state)
{
    static uint8_t body[SL_DOCUMENT_MAX];
    static struct sl_catalog catalog;
    static struct sl_order order;
    struct sl_document d = {.body = {body, 0}};
    (void)state;
    struct sl_writer w = {body, sizeof(body), 0, false};
    sl_write_octets(&w, "\1\0\1\0\0\0p", 7);
    sl_write_octets(&w, "\2\0\14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 18);
    sl_write_u16(&w, SL_CATALOG_REVOKED);
    sl_write_u32(&w, (SL_REVOKED_MAX + 1) * SL_HASH);
    for (int i = 0; i < (SL_REVOKED_MAX + 1) * SL_HASH; i++)
        sl_write_u8(&w, (uint8_t)(i / SL_HASH));
    d.body.left = w.used;
    assert_int_equal(sl_catalog_read(&d, &catalog, &error), SL_REFUSED_FORMAT);
    sl_put32(body + 27, SL_REVOKED_MAX * SL_HASH);
    d.body.left -= SL_HASH;
    assert_int_equal(sl_catalog_read(&d, &catalog, &error), SL_ACCEPTED);

    w.used = 7;
    sl_write_u16(&w, SL_ORDER_BUNDLE);
    sl_write_u32(&w, SL_HASH);
    w.used += SL_HASH;
    sl_write_u16(&w, SL_ORDER_CAMERAS);
    sl_write_u32(&w, 2 * (SL_CAMERAS_MAX + 1));
    for (int i = 0; i <= SL_CAMERAS_MAX; i++)
        sl_write_octets(&w, "\1c", 2);
    sl_write_octets(&w, "\4\0\1\0\0\0\1", 7);
    d.body.left = w.used;
    assert_false(w.failed);
    assert_int_equal(sl_order_read(&d, &order, &error), SL_REFUSED_FORMAT);
    assert_non_null(strstr(error.message, "cameras"));
}

static void a_document_that_is_too_long(void **state)
{
    uint8_t octets[SL_DOCUMENT_MAX + 8] = SL_PREFIX_CATALOG;
    struct sl_document d;
    const struct {
        uint32_t body;
        enum sl_refusal expected;
    } cases[] = {{SL_DOCUMENT_MAX - 20, SL_ACCEPTED},
                 {SL_DOCUMENT_MAX - 19, SL_REFUSED_OVERSIZED},
                 {SL_DOCUMENT_MAX - 8, SL_REFUSED_TRUNCATED},
                 {UINT32_MAX, SL_REFUSED_TRUNCATED}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_octets file = {octets, sizeof(octets)};
        sl_put32(octets + SL_DOCUMENT_LENGTH_AT, cases[i].body);
        assert_int_equal(sl_document_take(&file, SL_PREFIX_CATALOG, &d, &error), cases[i].expected);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

static void tensors_as_text(void **unused)
{
    (void)unused;
    static const char *const good[] = {"float32:nchw:1x2x640x640", "int8:nhwc:4294967295",
                                       ("uint8:nchw:4294967295x4294967295x4294967295x4294967295x"
                                        "4294967295x4294967295")};
    static const char *const bad[] = {"",
                                      "float32",
                                      "float32:nchw",
                                      "float32:nchw:",
                                      "float:nchw:1",
                                      "float32:ncwh:1",
                                      "float32:nchw:0",
                                      "float32:nchw:01",
                                      "float32:nchw:1x",
                                      "float32:nchw:x1",
                                      "float32:nchw:1,2",
                                      "float32:nchw:-1",
                                      "float32:nchw:4294967296",
                                      "float32:nchw:42949672950",
                                      "float32:nchw:1x1x1x1x1x1x1"};
    char text[SL_TENSOR_TEXT];
    struct sl_tensor_abi t, before;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(sl_tensor_parse(good[i], &t));
        sl_tensor_text(&t, text);
        assert_string_equal(text, good[i]);
    }
    before = t;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sl_tensor_parse(bad[i], &t));
    assert_memory_equal(&t, &before, sizeof(t));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(tensors_as_text),
        TEST(tags_that_are_not_known),
        TEST(values_that_end_elsewhere),
        TEST(every_tag_is_needed),
        TEST(values_of_every_length),
        TEST(most_components),
        TEST(values_out_of_range),
        TEST(names_that_are_paths),
        TEST(too_many_of_something),
        TEST(roots_that_follow_each_other),
        TEST(a_trusted_document_and_a_chain),
        TEST(old_bundle_after_the_release_keys_changed),
        TEST(chains_that_do_not_hold),
        TEST(a_gap_before_the_trusted_root),
        TEST(another_root_of_the_same_version),
        TEST(roots_that_are_damaged),
        TEST(roots_that_nobody_should_make),
        TEST(catalogs),
        TEST(a_catalog_is_no_order),
        TEST(orders),
        TEST(bodies_with_values_of_every_length),
        TEST(lists_that_are_too_long),
        TEST(a_document_that_is_too_long),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
