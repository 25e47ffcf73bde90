// Tests of the bundle's verifier: what a forged, damaged, old or foreign bundle is refused for.
#include "bundle_make.h"

#include "ota/sha256.h"

#include "ota/bundle/encryption.h"
#include "ota/bundle/load.h"
#include "ota/usb/bytes.h"
#include "tests/inference/allocations.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static struct made m;
static struct sl_bundle bundle;
static struct sl_bundle_error error;
static struct sl_bundle_policy policy;
static struct sl_trust trust;

static enum sl_refusal verify(void)
{
    const struct sl_bundle_source source = made_source(&m);
    return sl_bundle_verify(&bundle, &source, &trust, &policy, &error);
}

static enum sl_refusal verify_all(void)
{
    const struct sl_bundle_source source = made_source(&m);
    const enum sl_refusal refusal = verify();
    return refusal == SL_ACCEPTED ? sl_bundle_verify_payload(&bundle, &source, NULL, NULL, &error)
                                  : refusal;
}

static int begin(void **state)
{
    (void)state;
    made_begin(&m);
    policy = (struct sl_bundle_policy){0};
    trust = made_trust(&m);
    return 0;
}

static int end(void **state)
{
    (void)state;
    made_free(&m);
    return 0;
}

static void finish(const char *signers)
{
    made_encode(&m);
    made_sign(&m, signers);
    made_finish(&m);
}

static void a_good_bundle_is_accepted(void **state)
{
    (void)state;
    finish("xy");
    assert_int_equal(verify_all(), SL_ACCEPTED);
    assert_string_equal(bundle.manifest.product, "boards");
    assert_int_equal(bundle.manifest.n_components, 3);
    assert_int_equal(bundle.manifest.components[1].length, SL_PAGE);
    assert_int_equal(bundle.manifest.claims.memory, 64 << 20);
    assert_int_equal(bundle.root.version, 1);
    assert_non_null(sl_manifest_component(&bundle.manifest, "model.yaml"));
    assert_null(sl_manifest_component(&bundle.manifest, "model"));
    policy.product = "boards";
    policy.hardware = "cam-hd";
    policy.tensor = &m.manifest.tensor;
    policy.floor = m.manifest.number;
    assert_int_equal(verify_all(), SL_ACCEPTED);
}

static void more_signatures_than_needed_do_no_harm(void **state)
{
    (void)state;
    finish("xyzabc"); // a, b and c may not sign bundles
    assert_int_equal(verify(), SL_ACCEPTED);
}

static void a_slot_may_be_larger_and_a_file_not(void **state)
{
    (void)state;
    finish("xy");
    m.size += 5;
    assert_int_equal(verify(), SL_REFUSED_OVERSIZED);
    struct sl_bundle_source slot = made_source(&m);
    slot.exact = false;
    assert_int_equal(sl_bundle_verify(&bundle, &slot, &trust, &policy, &error), SL_ACCEPTED);
}

static void truncated_at_every_section(void **state)
{
    (void)state;
    finish("xy");
    const struct sl_superblock *s = &m.super;
    const uint64_t cuts[] = {0,
                             1,
                             SL_PAGE - 1,
                             SL_PAGE,
                             SL_PAGE + s->key_chain / 2,
                             s->manifest_at,
                             s->manifest_at + 9,
                             s->signatures_at,
                             s->signatures_at + 50,
                             s->chunk_list_at,
                             s->chunk_list_at + 16,
                             s->payload_at,
                             s->payload_at + 1,
                             s->total - 1};
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        m.size = cuts[i];
        assert_int_equal(verify(), SL_REFUSED_TRUNCATED);
    }
}

// With as many signatures as are needed there is no octet that may change.
static void one_bit_anywhere_refuses(void **state)
{
    (void)state;
    finish("xy");
    for (size_t at = 0; at < m.size; at += at % SL_PAGE < 640 ? 1 : 61) {
        m.bytes[at] ^= (uint8_t)(1 << at % 8);
        if (verify_all() == SL_ACCEPTED)
            fail_msg("octet %zu does not matter", at);
        m.bytes[at] ^= (uint8_t)(1 << at % 8);
    }
    assert_int_equal(verify_all(), SL_ACCEPTED);
}

static void refused_for(size_t at, enum sl_refusal expected)
{
    m.bytes[at] ^= 0x10;
    assert_int_equal(verify_all(), expected);
    assert_true(strlen(error.message) > 0);
    m.bytes[at] ^= 0x10;
}

static void one_bit_in_each_section_has_its_own_reason(void **state)
{
    (void)state;
    finish("xy");
    const struct sl_superblock *s = &m.super;
    refused_for(0, SL_REFUSED_FORMAT);
    refused_for(SL_SUPER_TOTAL_AT, SL_REFUSED_CHECKSUM);
    refused_for(SL_SUPER_END, SL_REFUSED_PADDING);
    refused_for(SL_PAGE - 1, SL_REFUSED_PADDING);
    refused_for(SL_PAGE + 40, SL_REFUSED_ROOT); // key chain
    refused_for(SL_PAGE + s->key_chain, SL_REFUSED_PADDING);
    refused_for(s->manifest_at + 8, SL_REFUSED_SIGNATURE);
    refused_for(s->manifest_at + s->manifest, SL_REFUSED_PADDING);
    refused_for(s->signatures_at + SL_SIGNATURE_ALGORITHM_AT, SL_REFUSED_SIGNATURE);
    refused_for(s->signatures_at + SL_SIGNATURE_AT, SL_REFUSED_SIGNATURE);
    refused_for(s->signatures_at + s->signatures, SL_REFUSED_PADDING);
    refused_for(s->chunk_list_at, SL_REFUSED_HASH);
    refused_for(s->chunk_list_at + s->chunk_list, SL_REFUSED_PADDING);
    refused_for(s->payload_at, SL_REFUSED_HASH);
    refused_for(s->total - 1, SL_REFUSED_HASH);
}

static void lengths_that_lie(void **state)
{
    (void)state;
    const struct {
        uint64_t payload, total;
        uint32_t chain, manifest, signatures, list;
        enum sl_refusal expected;
    } lies[] = {
        {.payload = SL_PAYLOAD_MAX + SL_PAGE, .expected = SL_REFUSED_OVERSIZED},
        {.payload = UINT64_C(3) << 30, .expected = SL_REFUSED_OVERSIZED}, // more than 2 GiB
        {.payload = UINT64_MAX - SL_PAGE + 1, .expected = SL_REFUSED_OVERSIZED},
        {.payload = UINT64_MAX, .expected = SL_REFUSED_OVERSIZED},
        {.payload = SL_PAGE + 1, .expected = SL_REFUSED_FORMAT},
        {.payload = 0, .expected = SL_REFUSED_FORMAT},
        {.chain = SL_KEY_CHAIN_MAX + 1, .expected = SL_REFUSED_OVERSIZED},
        {.chain = UINT32_MAX, .expected = SL_REFUSED_OVERSIZED},
        {.manifest = SL_MANIFEST_MAX + 1, .expected = SL_REFUSED_OVERSIZED},
        {.manifest = UINT32_MAX, .expected = SL_REFUSED_OVERSIZED},
        {.signatures = 97 * 43, .expected = SL_REFUSED_OVERSIZED},
        {.signatures = 98, .expected = SL_REFUSED_FORMAT},
        {.list = SL_CHUNKS_MAX * SL_HASH + 32, .expected = SL_REFUSED_OVERSIZED},
        {.list = 2 * SL_HASH, .expected = SL_REFUSED_FORMAT},
        {.list = 31, .expected = SL_REFUSED_FORMAT},
        {.total = 1, .expected = SL_REFUSED_FORMAT},
        {.total = UINT64_MAX, .expected = SL_REFUSED_FORMAT},
    };
    finish("xy");
    const struct sl_superblock good = m.super;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        sl_put64(m.bytes + SL_SUPER_PAYLOAD_AT, i < 6 ? lies[i].payload : good.payload);
        sl_put64(m.bytes + SL_SUPER_TOTAL_AT, lies[i].total ? lies[i].total : good.total);
        sl_put32(m.bytes + SL_SUPER_KEY_CHAIN_AT, lies[i].chain ? lies[i].chain : good.key_chain);
        sl_put32(m.bytes + SL_SUPER_MANIFEST_AT,
                 lies[i].manifest ? lies[i].manifest : good.manifest);
        sl_put32(m.bytes + SL_SUPER_SIGNATURES_AT,
                 lies[i].signatures ? lies[i].signatures : good.signatures);
        sl_put32(m.bytes + SL_SUPER_CHUNK_LIST_AT, lies[i].list ? lies[i].list : good.chunk_list);
        made_repair(m.bytes);
        if (verify() != lies[i].expected)
            fail_msg("lie %zu: %s", i, error.message);
    }
}

static void another_version_or_chunk_size(void **state)
{
    (void)state;
    finish("xy");
    sl_put32(m.bytes + SL_SUPER_VERSION_AT, 2);
    made_repair(m.bytes);
    assert_int_equal(verify(), SL_REFUSED_FORMAT);
    sl_put32(m.bytes + SL_SUPER_VERSION_AT, 1);
    sl_put32(m.bytes + SL_SUPER_CHUNK_AT, SL_CHUNK / 2);
    made_repair(m.bytes);
    assert_int_equal(verify(), SL_REFUSED_FORMAT);
}

// Known before the first octet of the payload is fetched.
static void a_chunk_list_that_was_not_signed(void **state)
{
    (void)state;
    made_encode(&m);
    made_sign(&m, "xy");
    m.payload[0] ^= 1; // and the list that fits to it
    sl_sha256(m.list, m.payload, m.manifest.payload);
    made_finish(&m);
    assert_int_equal(verify(), SL_REFUSED_HASH);
}

// A signature that covers part of a file must not vouch for the rest: shorter payload, same
// signatures.
static void sections_that_were_not_signed_together(void **state)
{
    (void)state;
    finish("xy");
    struct sl_superblock s = m.super;
    s.payload -= SL_PAGE;
    sl_superblock_write(&s, m.bytes);
    m.size = s.total;
    assert_int_equal(verify(), SL_REFUSED_HASH);
    s = m.super;
    s.id[0] ^= 1;
    sl_superblock_write(&s, m.bytes);
    m.size = s.total;
    assert_int_equal(verify(), SL_REFUSED_HASH);
}

static void too_few_signatures(void **state)
{
    static const struct {
        const char *signers;
        enum sl_refusal expected;
    } cases[] = {{"", SL_REFUSED_THRESHOLD},     {"x", SL_REFUSED_THRESHOLD},
                 {"xx", SL_REFUSED_THRESHOLD},   {"abc", SL_REFUSED_THRESHOLD},
                 {"xs", SL_REFUSED_THRESHOLD},   {"mn", SL_REFUSED_THRESHOLD},
                 {"xabcs", SL_REFUSED_THRESHOLD}};
    (void)state;
    made_encode(&m);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        m.signatures_size = 0;
        made_sign(&m, cases[i].signers);
        made_finish(&m);
        assert_int_equal(verify(), cases[i].expected);
    }
}

static void the_same_signature_twice(void **state)
{
    (void)state;
    made_encode(&m);
    made_sign(&m, "x");
    memcpy(m.signatures + SL_SIGNATURE_SIZE, m.signatures, SL_SIGNATURE_SIZE);
    m.signatures_size *= 2;
    made_finish(&m);
    assert_int_equal(verify(), SL_REFUSED_SIGNATURE);
}

static void signatures_that_do_not_ascend(void **state)
{
    uint8_t first[SL_SIGNATURE_SIZE];
    (void)state;
    made_encode(&m);
    made_sign(&m, "xy");
    memcpy(first, m.signatures, sizeof(first));
    memmove(m.signatures, m.signatures + SL_SIGNATURE_SIZE, SL_SIGNATURE_SIZE);
    memcpy(m.signatures + SL_SIGNATURE_SIZE, first, sizeof(first));
    made_finish(&m);
    assert_int_equal(verify(), SL_REFUSED_SIGNATURE);
}

// x's signature under y's key id.
static void a_signature_under_another_name(void **state)
{
    struct sl_role role = {.threshold = 2, .count = 2};
    uint8_t secret[64], list[SL_SIGNATURES_MAX];
    const struct sl_octets message = {(const uint8_t *)"hello", 5};
    size_t length = 0;
    (void)state;
    for (int i = 0; i < 2; i++) {
        made_key(i ? 'y' : 'x', role.keys[i], secret);
        sl_key_id(role.keys[i], role.ids[i]);
        assert_true(sl_signature_add(list, &length, sizeof(list), message, secret));
    }
    assert_int_equal(
        sl_check_signatures(&role, "", message, (struct sl_octets){list, length}, NULL),
        SL_ACCEPTED);
    memcpy(list + SL_SIGNATURE_AT, list + SL_SIGNATURE_SIZE + SL_SIGNATURE_AT, 64);
    assert_int_equal(
        sl_check_signatures(&role, "", message, (struct sl_octets){list, length}, NULL),
        SL_REFUSED_SIGNATURE);
    role.threshold = 0; // nobody
    assert_int_equal(sl_check_signatures(&role, "", message, (struct sl_octets){list, 0}, NULL),
                     SL_REFUSED_THRESHOLD);
}

static void signed_as_something_else(void **state)
{
    (void)state;
    uint8_t message[SL_PREFIX + 512], public[32], secret[64];
    made_encode(&m);
    memcpy(message, SL_PREFIX_CATALOG, SL_PREFIX);
    memcpy(message + SL_PREFIX, m.text, m.text_size);
    for (int i = 0; i < 2; i++) {
        made_key(i ? 'x' : 'y', public, secret);
        sl_signature_add(m.signatures, &m.signatures_size, SL_SIGNATURES_MAX,
                         (struct sl_octets){message, SL_PREFIX + m.text_size}, secret);
    }
    made_finish(&m);
    assert_int_equal(verify(), SL_REFUSED_SIGNATURE);
}

static void policy_of_this_camera(void **state)
{
    struct sl_tensor_abi tensor = m.manifest.tensor;
    uint8_t denied[2][SL_HASH] = {{0}};
    (void)state;
    finish("xy");
    policy.product = "bottles";
    assert_int_equal(verify(), SL_REFUSED_PRODUCT);
    policy = (struct sl_bundle_policy){.hardware = "cam-8k"};
    assert_int_equal(verify(), SL_REFUSED_HARDWARE);
    assert_non_null(strstr(error.message, "and others"));
    policy = (struct sl_bundle_policy){.denied = denied, .n_denied = 2};
    assert_int_equal(verify(), SL_ACCEPTED);
    memcpy(denied[1], m.super.id, SL_HASH);
    assert_int_equal(verify(), SL_REFUSED_DENIED);
    policy = (struct sl_bundle_policy){.tensor = &tensor};
    assert_int_equal(verify(), SL_ACCEPTED);
    tensor.dims[5] = 9; // beyond the rank
    assert_int_equal(verify(), SL_ACCEPTED);
    tensor.dims[3]++;
    assert_int_equal(verify(), SL_REFUSED_TENSOR);
    tensor = m.manifest.tensor;
    tensor.rank--;
    assert_int_equal(verify(), SL_REFUSED_TENSOR);
    tensor = m.manifest.tensor;
    tensor.element = SL_ELEMENT_INT8;
    assert_int_equal(verify(), SL_REFUSED_TENSOR);
    tensor = m.manifest.tensor;
    tensor.layout = SL_LAYOUT_NHWC;
    assert_int_equal(verify(), SL_REFUSED_TENSOR);
}

static void old_numbers(void **state)
{
    static const struct {
        struct sl_bundle_number floor;
        enum sl_refusal expected;
    } cases[] = {{{0, 0}, SL_ACCEPTED},
                 {{2, 39}, SL_ACCEPTED},
                 {{2, 40}, SL_ACCEPTED},
                 {{2, 41}, SL_REFUSED_OLD},
                 {{3, 0}, SL_REFUSED_OLD},
                 {{1, UINT64_MAX}, SL_ACCEPTED},
                 {{UINT32_MAX, 0}, SL_REFUSED_OLD}};
    (void)state;
    finish("xy");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        policy.floor = cases[i].floor;
        assert_int_equal(verify(), cases[i].expected);
    }
}

// The padding of a component is signed with its chunk, so a signer who hides something there is
// found by the reader alone.
static void padding_that_is_not_zero_but_signed(void **state)
{
    (void)state;
    m.payload[m.manifest.components[0].length] = 1;
    finish("xy");
    assert_int_equal(verify_all(), SL_REFUSED_PADDING);
}

static void a_component_hash_that_is_wrong_but_signed(void **state)
{
    (void)state;
    m.manifest.components[2].hash[31] ^= 1;
    finish("xy");
    assert_int_equal(verify_all(), SL_REFUSED_HASH);
    assert_non_null(strstr(error.message, "model.yaml"));
}

// The n-th read fails, for n = 1, 2, 3 …
static long reads_left;

static int failing_read(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct sl_bundle_source whole = made_source(ctx);
    return reads_left-- == 0 ? -EIO : whole.read(ctx, offset, out, size);
}

static void every_read_may_fail(void **state)
{
    (void)state;
    made_component(&m, "weights", 2 * SL_CHUNK);
    finish("xy");
    struct sl_bundle_source source = made_source(&m);
    source.read = failing_read;
    long n = 0;
    for (;; n++) {
        int fd = -1;
        reads_left = n;
        enum sl_refusal refusal = sl_bundle_verify(&bundle, &source, &trust, &policy, &error);
        if (refusal == SL_ACCEPTED)
            refusal = sl_bundle_load(&bundle, &source, NULL, &fd, &error);
        if (refusal == SL_ACCEPTED) {
            close(fd);
            break;
        }
        assert_int_equal(refusal, SL_REFUSED_READ);
        assert_int_equal(fd, -1);
    }
    assert_int_equal(n, 2 + 3); // superblock, sections, three chunks
}

static void loaded_memory_is_sealed_and_the_same(void **state)
{
    (void)state;
    made_component(&m, "weights", 2 * SL_CHUNK + 3);
    finish("xy");
    const struct sl_bundle_source source = made_source(&m);
    int fd = -1;
    assert_int_equal(verify(), SL_ACCEPTED);
    assert_int_equal(sl_bundle_load(&bundle, &source, NULL, &fd, &error), SL_ACCEPTED);
    assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)m.size);
    const void *map = mmap(NULL, m.size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_memory_equal(map, m.bytes, m.size);
    munmap((void *)(uintptr_t)map, m.size);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, (off_t)m.size + 1), -1);
    assert_ptr_equal(mmap(NULL, m.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), -1);
    close(fd);
}

// CVE-2020-25860: the file changes between the check and the use.
static void a_bundle_that_changes_after_the_check(void **state)
{
    (void)state;
    finish("xy");
    const struct sl_bundle_source source = made_source(&m);
    int fd = -1;
    assert_int_equal(verify_all(), SL_ACCEPTED);
    m.bytes[m.super.payload_at + SL_PAGE] ^= 1;
    assert_int_equal(sl_bundle_load(&bundle, &source, NULL, &fd, &error), SL_REFUSED_HASH);
    assert_int_equal(fd, -1);
    m.bytes[m.super.payload_at + SL_PAGE] ^= 1;
    m.bytes[m.super.manifest_at] ^= 1; // what was verified is what is loaded
    assert_int_equal(sl_bundle_load(&bundle, &source, NULL, &fd, &error), SL_ACCEPTED);
    uint8_t octet;
    assert_int_equal(pread(fd, &octet, 1, m.super.manifest_at), 1);
    assert_int_equal(octet, m.text[0]);
    close(fd);
}

// With a limit on a resource, whatever fails says so and leaves no descriptor.
static enum sl_refusal load_within(int resource, rlim_t most)
{
    struct rlimit before, limit;
    int fd = -1;
    const struct sl_bundle_source source = made_source(&m);
    const int free_fd = dup(STDIN_FILENO);
    close(free_fd);
    assert_int_equal(getrlimit((__rlimit_resource_t)resource, &before), 0);
    limit = (struct rlimit){most, before.rlim_max};
    assert_int_equal(setrlimit((__rlimit_resource_t)resource, &limit), 0);
    const enum sl_refusal refusal = sl_bundle_load(&bundle, &source, NULL, &fd, &error);
    assert_int_equal(setrlimit((__rlimit_resource_t)resource, &before), 0);
    if (refusal == SL_ACCEPTED) {
        close(fd);
        return refusal;
    }
    assert_int_equal(fd, -1);
    const int next = dup(STDIN_FILENO);
    close(next);
    assert_int_equal(next, free_fd);
    return refusal;
}

static void no_memory_to_load_into(void **state)
{
    (void)state;
    finish("xy");
    assert_int_equal(verify(), SL_ACCEPTED);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(load_within(RLIMIT_NOFILE, 0), SL_REFUSED_MEMORY);
    assert_int_equal(load_within(RLIMIT_FSIZE, 0), SL_REFUSED_MEMORY);
    assert_int_equal(load_within(RLIMIT_FSIZE, m.super.payload_at - 1), SL_REFUSED_MEMORY);
    assert_int_equal(load_within(RLIMIT_FSIZE, m.super.payload_at), SL_REFUSED_MEMORY);
    assert_int_equal(load_within(RLIMIT_FSIZE, m.super.total - 1), SL_REFUSED_MEMORY);
    assert_int_equal(load_within(RLIMIT_FSIZE, m.super.total), SL_ACCEPTED);
}

static uint32_t steps, of;

static void progress(void *ctx, uint32_t done, uint32_t total)
{
    (void)ctx;
    assert_int_equal(done, ++steps);
    of = total;
}

static void progress_is_told(void **state)
{
    (void)state;
    made_component(&m, "weights", 2 * SL_CHUNK);
    finish("xy");
    const struct sl_bundle_source source = made_source(&m);
    assert_int_equal(verify(), SL_ACCEPTED);
    steps = 0;
    assert_int_equal(sl_bundle_verify_payload(&bundle, &source, progress, NULL, &error),
                     SL_ACCEPTED);
    assert_int_equal(steps, 3);
    assert_int_equal(of, 3);
}

static void one_chunk_at_a_time(void **state)
{
    (void)state;
    made_component(&m, "weights", SL_CHUNK);
    finish("xy");
    assert_int_equal(verify(), SL_ACCEPTED);
    assert_int_equal(sl_bundle_n_chunks(&bundle), 2);
    assert_int_equal(sl_bundle_chunk_length(&bundle, 0), SL_CHUNK);
    assert_int_equal(sl_bundle_chunk_length(&bundle, 1), 3 * SL_PAGE);
    assert_int_equal(sl_bundle_check_chunk(&bundle, 0, m.payload, &error), SL_ACCEPTED);
    assert_int_equal(sl_bundle_check_chunk(&bundle, 1, m.payload, &error), SL_REFUSED_HASH);
}

static void nothing_is_allocated(void **state)
{
    (void)state;
    finish("xyz");
    const struct sl_bundle_source source = made_source(&m);
    const long before = allocations();
    int fd;
    const enum sl_refusal refusal = verify_all();
    const enum sl_refusal loaded = sl_bundle_load(&bundle, &source, NULL, &fd, &error);
    const long after = allocations();
    assert_int_equal(refusal, SL_ACCEPTED);
    assert_int_equal(loaded, SL_ACCEPTED);
    close(fd);
    if (before >= 0) // sanitizers count for themselves
        assert_int_equal(before, after);
}

// A payload of 2 GiB of zeros: the head and offsets beyond 31 bits, without 2 GiB.
static int read_zeros(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct made *large = ctx;
    for (size_t i = 0; i < size; i++) {
        const uint64_t at = offset + i;
        ((uint8_t *)out)[i] = at < large->super.payload_at ? large->bytes[at] : 0;
    }
    return 0;
}

static void beyond_two_gib(void **state)
{
    (void)state;
    static uint8_t chunk[SL_CHUNK];
    m.manifest.n_components = 1;
    m.manifest.components[0] = (struct sl_component){.name = "weights", .length = SL_PAYLOAD_MAX};
    m.manifest.payload = SL_PAYLOAD_MAX;
    for (uint32_t i = 0; i < SL_CHUNKS_MAX; i++)
        sl_sha256(m.list + (size_t)i * SL_HASH, chunk, sizeof(chunk));
    sl_sha256(m.manifest.chunk_list_hash, m.list, sizeof(m.list));
    m.text_size = sl_manifest_write(&m.manifest, m.text, sizeof(m.text));
    assert_true(m.text_size > 0);
    made_sign(&m, "xy");
    const uint8_t *const payload = m.payload;
    m.manifest.payload = 0; // made_finish has no room for it
    made_finish(&m);
    assert_ptr_equal(m.payload, payload);
    m.super.payload = SL_PAYLOAD_MAX;
    m.super.chunk_list = SL_CHUNKS_MAX * SL_HASH;
    m.super.total = 0;
    made_super(&m);
    memcpy(m.bytes + m.super.chunk_list_at, m.list, sizeof(m.list));
    struct sl_bundle_source source = {read_zeros, &m, m.super.total, true};
    assert_true(m.super.total > (uint64_t)INT32_MAX);
    assert_int_equal(sl_bundle_verify(&bundle, &source, &trust, &policy, &error), SL_ACCEPTED);
    assert_int_equal(sl_bundle_n_chunks(&bundle), SL_CHUNKS_MAX);
    assert_int_equal(sl_bundle_chunk_length(&bundle, SL_CHUNKS_MAX - 1), SL_CHUNK);
    assert_int_equal(sl_bundle_check_chunk(&bundle, SL_CHUNKS_MAX - 1, chunk, &error), SL_ACCEPTED);
    chunk[SL_CHUNK - 1] = 1; // the very last octet
    assert_int_equal(sl_bundle_check_chunk(&bundle, SL_CHUNKS_MAX - 1, chunk, &error),
                     SL_REFUSED_HASH);
    chunk[SL_CHUNK - 1] = 0;
    source.size--;
    assert_int_equal(sl_bundle_verify(&bundle, &source, &trust, &policy, &error),
                     SL_REFUSED_TRUNCATED);
    source.size += 2;
    assert_int_equal(sl_bundle_verify(&bundle, &source, &trust, &policy, &error),
                     SL_REFUSED_OVERSIZED);
}

// --- encryption ---------------------------------------------------------------------------------

static enum sl_refusal load_as(char letter, int *fd)
{
    uint8_t public[32], secret[64];
    const struct sl_bundle_source source = made_source(&m);
    if (letter)
        made_key(letter, public, secret);
    return sl_bundle_load(&bundle, &source, letter ? secret : NULL, fd, &error);
}

static void encrypted_only_in_the_slot(void **state)
{
    (void)state;
    made_component(&m, "weights", 2 * SL_CHUNK + 3);
    made_encrypt(&m, "pqrs");
    finish("xy");
    assert_int_equal(verify_all(), SL_ACCEPTED); // needs no key
    for (const char *letter = "pqrs"; *letter; letter++) {
        int fd = -1;
        assert_int_equal(load_as(*letter, &fd), SL_ACCEPTED);
        const uint8_t *map = mmap(NULL, m.size, PROT_READ, MAP_PRIVATE, fd, 0);
        assert_ptr_not_equal(map, MAP_FAILED);
        assert_memory_equal(map, m.bytes, m.super.payload_at);
        for (uint16_t i = 0; i < m.manifest.n_components; i++) {
            const struct sl_component *c = &m.manifest.components[i];
            for (uint64_t k = 0; k < sl_page_up(c->length); k++)
                assert_int_equal(map[m.super.payload_at + c->offset + k],
                                 k < c->length ? (uint8_t)(k * 7 + c->length) : 0);
        }
        munmap((void *)(uintptr_t)map, m.size);
        close(fd);
    }
}

static void who_has_no_key_cannot_load(void **state)
{
    (void)state;
    made_encrypt(&m, "pq");
    finish("xy");
    int fd = -1;
    assert_int_equal(verify_all(), SL_ACCEPTED);
    assert_int_equal(load_as('r', &fd), SL_REFUSED_KEY);
    assert_int_equal(load_as(0, &fd), SL_REFUSED_KEY);
    assert_int_equal(fd, -1);
}

// Hashes are checked before anything is decrypted.
static void an_encrypted_bundle_is_verified_first(void **state)
{
    (void)state;
    made_encrypt(&m, "p");
    finish("xy");
    int fd = -1;
    assert_int_equal(verify(), SL_ACCEPTED);
    m.bytes[m.super.payload_at + SL_PAGE + 9] ^= 1;
    assert_int_equal(load_as('p', &fd), SL_REFUSED_HASH);
    assert_int_equal(verify_all(), SL_REFUSED_HASH);
    assert_int_equal(fd, -1);
}

static void sealed_keys_that_are_wrong(void **state)
{
    (void)state;
    int fd = -1;
    made_encrypt(&m, "p");
    m.recipients[SL_HASH + 40] ^= 1; // the box does not open
    finish("xy");
    assert_int_equal(verify(), SL_ACCEPTED);
    assert_int_equal(load_as('p', &fd), SL_REFUSED_KEY);
    uint8_t other[SL_KEY] = {1}, public[32], secret[64];
    made_key('p', public, secret);
    assert_true(sl_content_key_seal(other, public, m.recipients + SL_HASH)); // another key in it
    finish("xy");
    assert_int_equal(verify(), SL_ACCEPTED);
    assert_int_equal(load_as('p', &fd), SL_REFUSED_KEY);
    assert_int_equal(fd, -1);
    memset(public, 0, sizeof(public)); // of small order: nothing may be sealed for it
    assert_false(sl_content_key_seal(other, public, m.recipients));
    memset(public, 0xff, sizeof(public));
    assert_false(sl_content_key_seal(other, public, m.recipients));
}

static bool takes(const uint8_t *octets, size_t size)
{
    struct sl_octets value = {octets, size};
    struct sl_encryption e;
    return sl_take_encryption(&value, &e) && value.left == 0;
}

static void encryption_blocks_that_are_wrong(void **state)
{
    (void)state;
    static uint8_t block[33 + (SL_RECIPIENTS_MAX + 1) * SL_RECIPIENT];
    for (uint16_t i = 0; i <= SL_RECIPIENTS_MAX; i++) {
        block[33 + i * SL_RECIPIENT] = (uint8_t)(i >> 8);
        block[34 + i * SL_RECIPIENT] = (uint8_t)i;
    }
    block[0] = SL_CIPHER_XCHACHA20;
    assert_true(takes(block, 33 + SL_RECIPIENT));
    assert_true(takes(block, 33 + SL_RECIPIENTS_MAX * SL_RECIPIENT));
    assert_false(takes(block, sizeof(block))); // one more than there may be
    assert_false(takes(block, 33));            // for nobody
    assert_false(takes(block, 20));
    assert_false(takes(block, 0));
    assert_false(takes(block, 33 + SL_RECIPIENT - 1));
    assert_false(takes(block, 33 + SL_RECIPIENT + 1));
    block[0] = 2;
    assert_false(takes(block, 33 + SL_RECIPIENT));
    block[0] = SL_CIPHER_XCHACHA20;
    memcpy(block + 33 + SL_RECIPIENT, block + 33, SL_HASH); // the same camera twice
    assert_false(takes(block, 33 + 2 * SL_RECIPIENT));
}

static void refusals_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < SL_N_REFUSALS; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(sl_refusal_name((enum sl_refusal)i),
                                    sl_refusal_name((enum sl_refusal)k));
    assert_string_equal(sl_refusal_name(SL_N_REFUSALS), "unknown");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_good_bundle_is_accepted),
        TEST(more_signatures_than_needed_do_no_harm),
        TEST(a_slot_may_be_larger_and_a_file_not),
        TEST(truncated_at_every_section),
        TEST(one_bit_anywhere_refuses),
        TEST(one_bit_in_each_section_has_its_own_reason),
        TEST(lengths_that_lie),
        TEST(another_version_or_chunk_size),
        TEST(a_chunk_list_that_was_not_signed),
        TEST(sections_that_were_not_signed_together),
        TEST(too_few_signatures),
        TEST(the_same_signature_twice),
        TEST(signatures_that_do_not_ascend),
        TEST(a_signature_under_another_name),
        TEST(signed_as_something_else),
        TEST(policy_of_this_camera),
        TEST(old_numbers),
        TEST(padding_that_is_not_zero_but_signed),
        TEST(a_component_hash_that_is_wrong_but_signed),
        TEST(every_read_may_fail),
        TEST(loaded_memory_is_sealed_and_the_same),
        TEST(a_bundle_that_changes_after_the_check),
        TEST(no_memory_to_load_into),
        TEST(progress_is_told),
        TEST(one_chunk_at_a_time),
        TEST(nothing_is_allocated),
        TEST(beyond_two_gib),
        TEST(encrypted_only_in_the_slot),
        TEST(who_has_no_key_cannot_load),
        TEST(an_encrypted_bundle_is_verified_first),
        TEST(sealed_keys_that_are_wrong),
        TEST(encryption_blocks_that_are_wrong),
        TEST(refusals_have_names),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
