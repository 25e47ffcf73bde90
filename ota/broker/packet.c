// Reads and writes the messages of a model update.
#include "ota/broker/packet.h"

#include "ota/usb/bytes.h"

#include <stdio.h>
#include <string.h>

enum { VERSION = 1 };

static const uint8_t magic[4] = {'S', 'L', 'U', 'P'};
static const char *const words[] = {[SL_PACKET_HEAD] = "head",
                                    [SL_PACKET_CHUNK] = "chunk",
                                    [SL_PACKET_BEAT] = "beat",
                                    [SL_PACKET_ASK] = "ask",
                                    [SL_PACKET_DOCUMENT] = "document"};

static bool is_name_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool sl_packet_name_ok(const char *name)
{
    size_t n = 0;
    while (is_name_letter(name[n]))
        n++;
    return n > 0 && n <= SL_PACKET_CAMERA_MAX && name[n] == '\0';
}

bool sl_packet_root_ok(const char *root)
{
    size_t n = 0;
    for (; root[n]; n++)
        if (!is_name_letter(root[n]) && (root[n] != '/' || n == 0 || root[n - 1] == '/'))
            return false;
    return n > 0 && n <= SL_PACKET_ROOT_MAX && root[n - 1] != '/';
}

static void id_text(const uint8_t *id, char out[SL_PACKET_ID_DIGITS + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SL_PACKET_ID_DIGITS; i++)
        out[i] = digits[i % 2 ? id[i / 2] & 15 : id[i / 2] >> 4];
    out[SL_PACKET_ID_DIGITS] = '\0';
}

void sl_packet_write(uint8_t header[SL_PACKET_HEADER], enum sl_packet_kind kind, const uint8_t *id,
                     uint32_t a, uint32_t b)
{
    memcpy(header, magic, sizeof(magic));
    header[4] = VERSION;
    header[5] = (uint8_t)kind;
    sl_put16(header + 6, 0);
    memcpy(header + 8, id, SL_HASH);
    sl_put32(header + 40, a);
    sl_put32(header + 44, b);
}

void sl_packet_topic(char out[SL_PACKET_TOPIC_MAX], const char *root, enum sl_packet_kind kind,
                     const uint8_t *id, uint32_t index, const char *camera)
{
    char name[SL_PACKET_ID_DIGITS + 1] = "+", number[16] = "+";
    if (id)
        id_text(id, name);
    if (index != UINT32_MAX)
        snprintf(number, sizeof(number), "%u", (unsigned)index);
    const char *const last = kind == SL_PACKET_ASK ? (camera ? camera : "+") : number;
    const bool single = kind == SL_PACKET_BEAT || kind == SL_PACKET_DOCUMENT;
    snprintf(out, SL_PACKET_TOPIC_MAX, "%.*s/%s/%s%s%.*s", SL_PACKET_ROOT_MAX, root, name,
             words[kind], single ? "" : "/", SL_PACKET_CAMERA_MAX, single ? "" : last);
}

// The topic is compared with the one that the octets should have come under.
static bool topic_agrees(const char *root, const char *topic, struct sl_packet *p)
{
    char expected[SL_PACKET_TOPIC_MAX];
    if (p->kind == SL_PACKET_ASK) {
        const char *const slash = strrchr(topic, '/');
        if (!slash || !sl_packet_name_ok(slash + 1))
            return false;
        snprintf(p->camera, sizeof(p->camera), "%s", slash + 1);
    }
    sl_packet_topic(expected, root, p->kind, p->id, p->a, p->camera);
    return !strcmp(expected, topic);
}

static bool length_fits(const struct sl_packet *p)
{
    switch (p->kind) {
    case SL_PACKET_HEAD: {
        if (p->b <= SL_PAGE || p->b > SL_HEAD_MAX || p->a > (p->b - 1) / SL_PACKET_PART)
            return false;
        const uint32_t left = p->b - p->a * SL_PACKET_PART;
        return p->size == (left < SL_PACKET_PART ? left : SL_PACKET_PART);
    }
    case SL_PACKET_CHUNK:
        return p->a < SL_CHUNKS_MAX && p->size > 0 && p->size <= SL_CHUNK;
    case SL_PACKET_BEAT:
        return p->a <= 1 && p->size == 0;
    case SL_PACKET_DOCUMENT:
        return p->a == 0 && p->b == 0 && p->size >= SL_DOCUMENT_BODY_AT &&
               p->size <= SL_DOCUMENT_MAX;
    default:
        return p->b <= SL_CHUNKS_MAX && p->size <= SL_PACKET_BITMAP_MAX;
    }
}

bool sl_packet_read(const char *root, const char *topic, const uint8_t *octets, size_t size,
                    struct sl_packet *out)
{
    if (size < SL_PACKET_HEADER || size > SL_PACKET_MAX ||
        memcmp(octets, magic, sizeof(magic)) != 0 || octets[4] != VERSION ||
        octets[5] < SL_PACKET_HEAD || octets[5] > SL_PACKET_DOCUMENT || sl_le16(octets + 6) != 0)
        return false;
    struct sl_packet p = {.kind = (enum sl_packet_kind)octets[5],
                          .id = octets + 8,
                          .a = sl_le32(octets + 40),
                          .b = sl_le32(octets + 44),
                          .data = octets + SL_PACKET_HEADER,
                          .size = size - SL_PACKET_HEADER};
    if (!length_fits(&p) || !topic_agrees(root, topic, &p))
        return false;
    *out = p;
    return true;
}
