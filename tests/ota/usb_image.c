// Writes the few structures of a FAT16 volume with clusters of one sector.
#include "usb_image.h"

#include "ota/usb/bytes.h"

#include <string.h>

static void put_entry(uint8_t *at, const char *name, uint8_t attributes, unsigned first,
                      uint32_t length)
{
    memset(at, 0, 32);
    memcpy(at, name, 11);
    at[11] = attributes;
    sl_put16(at + 26, (uint16_t)first);
    sl_put32(at + 28, length);
}

static void put_link(uint8_t *image, unsigned cluster, unsigned value)
{
    sl_put16(image + USB_IMAGE_FAT_AT + 2 * cluster, (uint16_t)value);
}

static void put_long_name(uint8_t *entry, uint8_t checksum)
{
    static const char name[] = "SIGHTLINE";
    static const uint8_t places[] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    memset(entry, 0, 32);
    entry[0] = 0x41;
    entry[11] = 0x0F;
    entry[13] = checksum;
    for (unsigned i = 0; i < 13; i++)
        sl_put16(entry + places[i], i < sizeof(name) ? (uint16_t)name[i] : 0xFFFF);
}

void usb_image_format(uint8_t *image)
{
    static const char name[] = "SIGHTL~1   ";
    uint8_t checksum = 0;
    memset(image, 0, USB_IMAGE_BYTES);
    memcpy(image, "\xEB\x3C\x90SIGHTLIN", 11);
    sl_put16(image + 11, 512);
    image[13] = 1; // sector per cluster
    sl_put16(image + 14, 1);
    image[16] = 1;
    sl_put16(image + 17, 16);
    sl_put16(image + 19, USB_IMAGE_SECTORS);
    image[21] = 0xF8;
    sl_put16(image + 22, USB_IMAGE_FAT_SECTORS);
    sl_put16(image + 510, 0xAA55);
    put_link(image, 0, 0xFFF8);
    put_link(image, 1, 0xFFFF);
    put_link(image, 2, 0xFFFF);
    for (unsigned i = 0; i < 11; i++)
        checksum = (uint8_t)((checksum >> 1 | checksum << 7) + name[i]);
    put_long_name(image + USB_IMAGE_ROOT_AT, checksum);
    put_entry(image + USB_IMAGE_ROOT_AT + 32, name, 0x10, 2, 0);
}

uint64_t usb_image_cluster_at(unsigned cluster)
{
    return USB_IMAGE_HEAP_AT + (uint64_t)(cluster - 2) * 512;
}

uint8_t usb_image_byte(unsigned seed, uint32_t at)
{
    uint32_t x = (at + 1) * 2654435761u ^ seed * 40503u;
    x ^= x >> 15;
    return (uint8_t)(x * 2246822519u >> 24);
}

void usb_image_add(uint8_t *image, unsigned slot, const char *name, unsigned first, uint32_t length,
                   unsigned seed)
{
    const unsigned clusters = (length + 511) / 512;
    put_entry(image + USB_IMAGE_HOME_AT + 32 * slot, name, 0x20, clusters ? first : 0, length);
    for (unsigned i = 0; i < clusters; i++)
        put_link(image, first + i, i + 1 < clusters ? first + i + 1 : 0xFFFF);
    for (uint32_t i = 0; i < length; i++)
        image[usb_image_cluster_at(first) + i] = usb_image_byte(seed, i);
}
