// The verifier behind a pipe, to be compared with another reader. Standard input holds bundles,
// each after a u32 length; a line per bundle is printed: "ok ID" or "refused".
//
//     bundle_read ROOT < bundles
//     bundle_read --seeds DIRECTORY     writes good bundles there, and the root they start from
#include "bundle_make.h"

#include "ota/bundle/load.h"
#include "ota/usb/bytes.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST = 4 << 20 };

struct memory {
    const uint8_t *bytes;
    size_t size;
};

static int read_memory(void *ctx, uint64_t offset, void *out, size_t size)
{
    const struct memory *m = ctx;
    if (offset > m->size || size > m->size - offset)
        return -EIO;
    memcpy(out, m->bytes + offset, size);
    return 0;
}

static void judge(struct memory memory, const struct sl_trust *trust)
{
    static struct sl_bundle bundle;
    const struct sl_bundle_policy any = {0};
    const struct sl_bundle_source source = {read_memory, &memory, memory.size, true};
    struct sl_bundle_error error;
    enum sl_refusal refusal = sl_bundle_verify(&bundle, &source, trust, &any, &error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_bundle_verify_payload(&bundle, &source, NULL, NULL, &error);
    if (refusal != SL_ACCEPTED) {
        printf("refused %s: %s\n", sl_refusal_name(refusal), error.message);
        return;
    }
    printf("ok ");
    for (int i = 0; i < SL_HASH; i++)
        printf("%02x", bundle.super.id[i]);
    printf(" root %u, %u components, first '%s'\n", bundle.root.version,
           bundle.manifest.n_components, bundle.manifest.components[0].name);
}

static int judge_all(const char *root)
{
    static uint8_t document[SL_DOCUMENT_MAX], length[4];
    struct sl_trust trust = {0};
    FILE *file = fopen(root, "rb");
    uint8_t *bytes = malloc(MOST);
    if (!file || !bytes)
        return 2;
    const struct sl_octets octets = {document, fread(document, 1, sizeof(document), file)};
    fclose(file);
    if (sl_trust_document(octets, &trust, NULL) != SL_ACCEPTED)
        return 2;
    trust.document = (struct sl_octets){NULL, 0};
    while (fread(length, 1, 4, stdin) == 4) {
        const uint32_t size = sl_le32(length);
        if (size > MOST || fread(bytes, 1, size, stdin) != size)
            return 2;
        judge((struct memory){bytes, size}, &trust);
    }
    free(bytes);
    return 0;
}

static int save(const char *folder, const char *name, const uint8_t *bytes, size_t size)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        return 2;
    }
    return 0;
}

static int seeds(const char *folder)
{
    static struct made m;
    mkdir(folder, 0777);
    made_good(&m);
    int status = save(folder, "usual.slb", m.bytes, m.size);
    if (status == 0)
        status = save(folder, "root.slr", m.chain, m.chain_size);
    made_free(&m);

    made_begin(&m); // two more roots, other release keys, three signatures
    m.chain_size += made_root(m.chain + m.chain_size, 2, "bcd", "xyz", 2, "abcd");
    m.chain_size += made_root(m.chain + m.chain_size, 3, "def", "uvw", 3, "bcde");
    made_encode(&m);
    made_sign(&m, "uvwx");
    made_finish(&m);
    if (status == 0)
        status = save(folder, "rotated.slb", m.bytes, m.size);
    made_free(&m);

    made_begin(&m); // three chunks, the last one not full
    made_component(&m, "weights.bin", 2 * SL_CHUNK + 4 * SL_PAGE + 77);
    made_encode(&m);
    made_sign(&m, "yz");
    made_finish(&m);
    if (status == 0)
        status = save(folder, "chunks.slb", m.bytes, m.size);
    made_free(&m);

    made_begin(&m); // encrypted for three cameras
    made_component(&m, "weights.bin", SL_CHUNK + 77);
    made_encrypt(&m, "pqr");
    made_encode(&m);
    made_sign(&m, "xz");
    made_finish(&m);
    if (status == 0)
        status = save(folder, "encrypted.slb", m.bytes, m.size);
    made_free(&m);
    return status;
}

int main(int argc, char **argv)
{
    if (sodium_init() < 0)
        return 2;
    if (argc == 3 && !strcmp(argv[1], "--seeds"))
        return seeds(argv[2]);
    return argc == 2 ? judge_all(argv[1]) : 2;
}
