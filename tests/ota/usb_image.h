// A small FAT16 stick in memory, for tests that must not depend on other programs.
#ifndef SL_TESTS_OTA_USB_IMAGE_H
#define SL_TESTS_OTA_USB_IMAGE_H

#include <stddef.h>
#include <stdint.h>

enum {
    USB_IMAGE_SECTORS = 8192,
    USB_IMAGE_BYTES = USB_IMAGE_SECTORS * 512,
    USB_IMAGE_FAT_AT = 512, // one table
    USB_IMAGE_FAT_SECTORS = 32,
    USB_IMAGE_ROOT_AT = USB_IMAGE_FAT_AT + USB_IMAGE_FAT_SECTORS * 512,
    USB_IMAGE_HEAP_AT = USB_IMAGE_ROOT_AT + 512,
    USB_IMAGE_HOME_AT = USB_IMAGE_HEAP_AT, // /SIGHTLINE: cluster 2, one sector
};

// An empty volume with /SIGHTLINE; `image` has USB_IMAGE_BYTES.
void usb_image_format(uint8_t *image);
// Adds a file of pseudo-random bytes from `seed` in clusters from `first` on; `slot` is its entry's
// number in /SIGHTLINE, from 0 to 15. `name`: 11 bytes as FAT has them.
void usb_image_add(uint8_t *image, unsigned slot, const char *name, unsigned first, uint32_t length,
                   unsigned seed);
uint64_t usb_image_cluster_at(unsigned cluster);
uint8_t usb_image_byte(unsigned seed, uint32_t at); // what the file holds there

#endif
