#!/usr/bin/env python3
"""Writes sticks of every kind as sparse seeds for random changes and fuzzing (usb_sparse.h).

    usb_seeds.py FOLDER
"""

import os
import shutil
import struct
import sys
import tempfile

import usb_sticks as sticks
from usb_sticks import MIB, Exfat, Fat, content, patch


def write_seed(image, path, reseal=False):
    with open(image, "rb") as source, open(path, "wb") as out:
        out.write(struct.pack("<II", os.path.getsize(image) // 512, 1 if reseal else 0))
        fd, end, at = source.fileno(), os.path.getsize(image), 0
        while at < end:
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:  # nothing but zeros until the end
                break
            hole = os.lseek(fd, at, os.SEEK_HOLE)
            for sector in range(at // 512, -(-min(hole, end) // 512)):
                data = os.pread(fd, 512, sector * 512)
                if data.count(0) != len(data):
                    out.write(struct.pack("<I", sector) + data.ljust(512, b"\0"))
            at = hole


def fat(folder, name, length, *options):
    volume = Fat(f"{folder}/{name}", length, *options)
    volume.directory()
    volume.add("a bundle with a long name.slb", content(1, 9000))
    volume.add("B.SLB", content(2, 3000))
    volume.add("catalog.slc", b"x" * 600)
    return volume


def exfat(folder, name, *options):
    volume = Exfat(f"{folder}/{name}", 8 * MIB, *options)
    home, _ = volume.directory("SIGHTLINE", 3)
    volume.add(home, "a bundle with a long name.slb", content(1, 9000), gap=1)
    volume.add(home, "B.SLB", content(2, 3000), contiguous=True)
    volume.add(home, "catalog.slc", b"x" * 600, valid=300)
    return volume


def main():
    target = sys.argv[1]
    if sticks.MISSING:
        print(f"skipped: no {', '.join(sticks.MISSING)}")
        return 0
    shutil.rmtree(target, ignore_errors=True)
    os.makedirs(target)
    with tempfile.TemporaryDirectory(prefix="sightline-seeds-") as folder:
        wide = fat(folder, "fat32", 40 * MIB, "-F", "32", "-s", "1")
        write_seed(wide.path, f"{target}/fat32")
        write_seed(fat(folder, "fat16", 16 * MIB, "-F", "16").path, f"{target}/fat16")
        sticks.embed(wide.path, f"{folder}/mbr", MIB, 44 * MIB)
        patch(f"{folder}/mbr", 0, sticks.mbr([sticks.mbr_entry(0x0C, 2048, 40 * 2048)]))
        write_seed(f"{folder}/mbr", f"{target}/mbr")
        for name, options in (("exfat", ("-c", "512")), ("exfat-4k", ("-c", "4096"))):
            small = exfat(folder, name, *options)
            write_seed(small.path, f"{target}/{name}", reseal=True)
            write_seed(small.path, f"{target}/{name}-sealed")
        sticks.embed(small.path, f"{folder}/gpt", MIB, 10 * MIB)
        sticks.write_gpt(f"{folder}/gpt", 10 * MIB, [(2048, 2048 + 8 * 2048 - 1)])
        write_seed(f"{folder}/gpt", f"{target}/gpt", reseal=True)
    for seed in sorted(os.listdir(target)):
        print(seed, os.path.getsize(f"{target}/{seed}"), "bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
