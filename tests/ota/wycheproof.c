// The verifier's signatures against the Wycheproof vectors:
//
//     wycheproof VECTORS.json
//
// Each vector goes through the code that judges a bundle, as a list of one signature of a role with
// one key. Prints how many agree; exit status 0 all, 1 not all, 77 no such file.
#include "ota/bundle/signature.h"

#include <cjson/cJSON.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = 4096, FILE_MAX_OCTETS = 8 << 20 };

struct tally {
    unsigned vectors, agree;
};

static size_t hex(const cJSON *object, const char *key, uint8_t *out, size_t most)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    size_t n = 0;
    if (!text || sodium_hex2bin(out, most, text, strlen(text), NULL, &n, NULL) != 0) {
        fprintf(stderr, "wycheproof: '%s' is missing or too long\n", key);
        exit(1);
    }
    return n;
}

static void check(const struct sl_role *role, const cJSON *test, struct tally *tally)
{
    static uint8_t message[MESSAGE_MAX];
    uint8_t list[SL_SIGNATURE_SIZE * 2] = {0};
    const size_t size = hex(test, "msg", message, sizeof(message));
    memcpy(list, role->ids[0], SL_HASH);
    list[SL_SIGNATURE_ALGORITHM_AT] = SL_ALGORITHM_ED25519;
    const size_t length = SL_SIGNATURE_AT + hex(test, "sig", list + SL_SIGNATURE_AT, 128);
    const bool accepted =
        sl_check_signatures(role, "vector", (struct sl_octets){message, size},
                            (struct sl_octets){list, length}, NULL) == SL_ACCEPTED;
    const char *result = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(test, "result"));
    tally->vectors++;
    if (result && (accepted ? !strcmp(result, "valid") : !strcmp(result, "invalid")))
        tally->agree++;
    else
        fprintf(stderr, "vector %d: %s, expected %s\n",
                (int)cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(test, "tcId")),
                accepted ? "accepted" : "refused", result ? result : "nothing");
}

static void walk(const cJSON *vectors, struct tally *tally)
{
    const cJSON *group, *test;
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(vectors, "testGroups"))
    {
        struct sl_role role = {.threshold = 1, .count = 1};
        const cJSON *key = cJSON_GetObjectItemCaseSensitive(group, "publicKey");
        hex(key, "pk", role.keys[0], SL_KEY);
        sl_key_id(role.keys[0], role.ids[0]);
        cJSON_ArrayForEach(test, cJSON_GetObjectItemCaseSensitive(group, "tests"))
            check(&role, test, tally);
    }
}

int main(int argc, char **argv)
{
    static char text[FILE_MAX_OCTETS];
    struct tally tally = {0, 0};
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) {
        fprintf(stderr, "wycheproof: no vectors; expected the path of ed25519_test.json\n");
        return argc == 2 ? 77 : 2;
    }
    const size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    cJSON *vectors = cJSON_ParseWithLength(text, size);
    const cJSON *expected = cJSON_GetObjectItemCaseSensitive(vectors, "numberOfTests");
    walk(vectors, &tally);
    printf("%u of %u vectors agree\n", tally.agree, tally.vectors);
    const bool whole = tally.vectors > 0 && cJSON_IsNumber(expected) &&
                       tally.vectors == (unsigned)cJSON_GetNumberValue(expected);
    cJSON_Delete(vectors);
    return whole && tally.agree == tally.vectors ? 0 : 1;
}
