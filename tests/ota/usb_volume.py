#!/usr/bin/env python3
"""The volume reader on good sticks of every kind, and on damaged and hostile ones with the error that each must give.

    usb_volume.py USB_READ [NAME…]
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import usb_sticks as sticks
from usb_sticks import MIB, Exfat, Fat, content, patch, peek

READER = None
SLOWEST = 0.0


def read(path, *options):
    """(return code, first line as a mapping or None, files as a mapping, error lines)"""
    global SLOWEST
    begin = time.monotonic()
    result = subprocess.run([READER, *options, path], capture_output=True, text=True, timeout=10)
    SLOWEST = max(SLOWEST, time.monotonic() - begin)
    assert result.returncode in (0, 1), (path, result.returncode, result.stderr)
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    errors = [line for line in result.stdout.splitlines() if line.startswith("error ")]
    files = {row["name"]: (row["length"], row["crc"]) for row in rows[1:]}
    return result.returncode, rows[0] if rows else None, files, errors


def expect(path, kind, files, partition=0, *options, dirty=False):
    code, head, found, errors = read(path, *options)
    want = {name: (len(data), zlib.crc32(data)) for name, data in files.items()}
    assert code == 0 and not errors, (path, errors)
    assert head["kind"] == kind and head["partition"] == partition and head["dirty"] == dirty, (path, head)
    assert found == want, (path, {k: v for k, v in found.items() if want.get(k) != v}, set(want) - set(found))


def fsck(path):
    result = subprocess.run(["fsck.exfat", "-n", path], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, (path, result.stdout, result.stderr)


# --- good sticks --------------------------------------------------------------------------------

LONG = "Modell für Linie 3 – Prüfung der Leiterplatten, Ausgabe vom Frühjahr (geprüft).slb"
EMOJI = "update 🙂 ж.slb"
LONGEST = "n" * 251 + ".slb"  # mtools finds no room for it in clusters of one sector


def fat_stick(folder, name, length, *options):
    files = {"a.slb": content(1, 300_000), "catalog.slc": content(2, 4096), LONG: content(3, 70_001),
             "ж – 検査.slb": content(4, 1), "empty.slb": b"", "MODEL.SLB": content(6, 512)}
    fat = Fat(f"{folder}/{name}", length, *options)
    if fat.per_cluster > 1:
        files[LONGEST] = content(5, 513)
    fat.add("other.txt", b"x", "")
    fat.directory()
    for file, data in files.items():
        fat.add(file, data)
    fat.add("notes.txt", b"x")
    fat.add("._a.slb", b"x")
    fat.add(".hidden.slb", b"x")
    run_directory = "SIGHTLINE/folder.slb"
    fat.directory(run_directory)
    return fat, files


def good_fat(folder):
    for name, kind, length, options in (
            ("fat32", "FAT32", 40 * MIB, ("-F", "32", "-s", "1")),
            ("fat32-32k", "FAT32", 2200 * MIB, ("-F", "32", "-s", "64")),
            ("fat32-4kn", "FAT32", 300 * MIB, ("-F", "32", "-S", "4096", "-s", "1")),
            ("fat32-one-table", "FAT32", 64 * MIB, ("-F", "32", "-f", "1")),
            ("fat16", "FAT16", 32 * MIB, ("-F", "16",)),
            ("fat16-32k", "FAT16", 512 * MIB, ("-F", "16", "-s", "64"))):
        fat, files = fat_stick(folder, name, length, *options)
        expect(fat.path, kind, files)
        expect(fat.path, kind, files, 0, "--piece", "777", "--backwards")


def fragmented(folder):
    fat = Fat(f"{folder}/fat-fragments", 64 * MIB, "-F", "32", "-s", "1")
    fat.directory()
    names = [f"x{i:03}.slb" for i in range(200)]
    for name in names:
        fat.add(name, content(9, 700))
    fat.remove(*names[::2])
    big = content(10, 12 * MIB + 5)
    fat.add("big.slb", big)
    files = {name: content(9, 700) for name in names[1::2]} | {"big.slb": big}
    expect(fat.path, "FAT32", files)
    expect(fat.path, "FAT32", files, 0, "--piece", "65536", "--backwards")


def many(folder):
    fat = Fat(f"{folder}/many", 64 * MIB, "-F", "32", "-s", "1")
    fat.directory()
    source = f"{folder}/many-files"
    os.mkdir(source)
    names = [f"a rather long name of a bundle, number {i:04}.slb" for i in range(512)]
    for name in names:
        with open(f"{source}/{name}", "wb") as out:
            out.write(name.encode())
    sticks.run("mcopy", "-i", fat.path, *[f"{source}/{name}" for name in names], "::SIGHTLINE/")
    expect(fat.path, "FAT32", {name: name.encode() for name in names})
    fat.add("one-too-many.slb", b"x")
    refuse(fat.path, "EBADMSG", "at most 512 update files")


def partitions(folder):
    fat, files = fat_stick(folder, "part-volume", 40 * MIB, "-F", "32", "-s", "1")
    sectors, start = 40 * MIB // 512, 2048
    path = f"{folder}/mbr"
    sticks.embed(fat.path, path, start * 512, 64 * MIB)
    patch(path, 0, sticks.mbr([sticks.mbr_entry(0x0C, start, sectors, 0x80)]))
    expect(path, "FAT32", files, 1)
    patch(path, 0, sticks.mbr([bytes(16), sticks.mbr_entry(0x05, start, sectors), bytes(16),
                               sticks.mbr_entry(0x0C, start, sectors)]))
    expect(path, "FAT32", files, 4)
    # An empty volume first: the one with /SIGHTLINE counts.
    empty = Fat(f"{folder}/empty-volume", 16 * MIB, "-F", "16")
    sticks.embed(fat.path, path, 40 * MIB, 96 * MIB)
    with open(path, "r+b") as target, open(empty.path, "rb") as source:
        target.seek(MIB)
        target.write(source.read())
    patch(path, 0, sticks.mbr([sticks.mbr_entry(0x06, 2048, 16 * MIB // 512),
                               sticks.mbr_entry(0x0C, 40 * MIB // 512, sectors)]))
    expect(path, "FAT32", files, 2)
    for unit in (512, 4096):
        path = f"{folder}/gpt{unit}"
        sticks.embed(fat.path, path, MIB, 64 * MIB)
        first = MIB // unit
        sticks.write_gpt(path, 64 * MIB, [(first, first + 40 * MIB // unit - 1)], unit)
        expect(path, "FAT32", files, 1)
        patch(path, unit + 60, b"\xff")  # the first header: the copy at the end counts
        expect(path, "FAT32", files, 1)
        patch(path, unit, b"NO PARTS")
        expect(path, "FAT32", files, 1)


def exfat_stick(folder, name, length, *options):
    fs = Exfat(f"{folder}/{name}", length, *options)
    files = {"a.slb": content(1, 900_000), LONG: content(2, 70_001), EMOJI: content(3, 1), LONGEST: content(4, 513),
             "catalog.slc": content(5, 4096), "Row.SLB": content(6, 3 * fs.cluster_bytes + 1), "empty.slb": b""}
    fs.add(fs.root, "other.txt", b"x")
    clusters = -(-40 * 32 * 4 // fs.cluster_bytes) + 1
    home, fs.home_entry = fs.directory("Sightline", clusters, gap=1)
    fs.home = home
    fs.entry = {}
    for i, (file, data) in enumerate(files.items()):
        fs.entry[file] = fs.add(home, file, data, contiguous=file == "Row.SLB", gap=0 if file == "Row.SLB" else i % 3)
    written = content(7, 5000)
    length = 3 * fs.cluster_bytes
    valid = min(length - 1, len(written))
    fs.add(home, "part-written.slb", written[:valid].ljust(length, b"\xee"), valid=valid)
    files["part-written.slb"] = written[:valid].ljust(length, b"\0")
    fs.add(home, "notes.txt", b"x")
    fs.directory("folder.slb", parent=home)
    return fs, files


def good_exfat(folder):
    for name, length, options in (("exfat", 32 * MIB, ()), ("exfat-32k", 256 * MIB, ("-c", "32K")),
                                  ("exfat-128k", 512 * MIB, ("-c", "128K"))):
        fs, files = exfat_stick(folder, name, length, *options)
        fsck(fs.path)
        expect(fs.path, "exFAT", files)
        expect(fs.path, "exFAT", files, 0, "--piece", "777", "--backwards")
    fs = Exfat(f"{folder}/exfat-row", 32 * MIB)
    home, _ = fs.directory("SIGHTLINE", 5, contiguous=True)
    files = {f"{i:03} of a directory in one row.slb": content(i, 100) for i in range(120)}
    for file, data in files.items():
        fs.add(home, file, data, contiguous=True)
    fsck(fs.path)
    expect(fs.path, "exFAT", files)
    sticks.embed(fs.path, f"{folder}/exfat-mbr", MIB, 40 * MIB)
    patch(f"{folder}/exfat-mbr", 0, sticks.mbr([sticks.mbr_entry(0x07, 2048, 32 * MIB // 512)]))
    expect(f"{folder}/exfat-mbr", "exFAT", files, 1)


# --- refusals -----------------------------------------------------------------------------------

def refuse(path, status, text):
    code, _, _, errors = read(path)
    assert code == 1 and errors, (path, "was accepted", text)
    assert errors[0].startswith(f"error {status} ") and text in errors[0], (path, errors[0], status, text)
    assert "byte " in errors[0], errors[0]


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def fat_mutations(fat):
    """(name, [(byte, data)], status, words of the message)"""
    home_entry = fat.entry_at(b"SIGHTL~1")
    home = fat.entry_cluster(home_entry)
    home_at = fat.cluster_at(home)
    file = fat.entry_at(b"A       SLB", home_at)
    first = fat.entry_cluster(file)
    end = (fat.heap_at and (40 * MIB - fat.heap_at) // 512) + 2

    def link(cluster, value):
        return (fat.fat_at + 4 * cluster, u32(value))
    return [
        ("no mark", [(510, b"\0\0")], "EOPNOTSUPP", "55 aa"),
        ("sector size 0", [(11, u16(0))], "EBADMSG", "sector size: expected 512"),
        ("sector size 513", [(11, u16(513))], "EBADMSG", "found 513"),
        ("sector size 8192", [(11, u16(8192))], "EBADMSG", "found 8192"),
        ("sector size 256", [(11, u16(256))], "EBADMSG", "found 256"),
        ("no sectors per cluster", [(13, b"\0")], "EBADMSG", "sectors per cluster"),
        ("3 sectors per cluster", [(13, b"\3")], "EBADMSG", "sectors per cluster"),
        ("clusters of 128 KiB", [(11, u16(1024)), (13, b"\x80")], "EBADMSG", "64 KiB"),
        ("no reserved sectors", [(14, u16(0))], "EBADMSG", "reserved sectors"),
        ("all sectors reserved", [(14, u16(65535)), (32, u32(65535))], "EBADMSG", "allocation tables"),
        ("no tables", [(16, b"\0")], "EBADMSG", "expected 1 or 2, found 0"),
        ("9 tables", [(16, b"\x09")], "EBADMSG", "expected 1 or 2, found 9"),
        ("fixed root on FAT32", [(17, u16(16))], "EBADMSG", "no fixed entries"),
        ("root of half a sector", [(17, u16(7))], "EBADMSG", "whole sectors"),
        ("more sectors than the device", [(32, u32(40 * MIB // 512 + 1))], "EBADMSG", "volume: expected"),
        ("no sectors", [(32, u32(0))], "EBADMSG", "found 0"),
        ("table of no length", [(36, u32(0))], "EBADMSG", "allocation tables"),
        ("table of 2^32-1 sectors", [(36, u32(0xFFFFFFFF))], "EBADMSG", "allocation tables"),
        ("table too short", [(36, u32(100))], "EBADMSG", "entries or more"),
        ("FAT32 of another version", [(42, u16(1))], "EOPNOTSUPP", "version"),
        ("current table 3 of 2", [(40, u16(0x83))], "EBADMSG", "current table"),
        ("root cluster 0", [(44, u32(0))], "EBADMSG", "root directory: expected a cluster"),
        ("root cluster beyond", [(44, u32(0x0FFFFFF0))], "EBADMSG", "root directory: expected a cluster"),
        ("table of zeros", [(fat.fat_at, bytes(fat.fat_bytes))], "EBADMSG", "allocation table: expected 0ffffff8"),
        ("root in a circle", [link(2, 2)] + [(fat.root_at + 32 * i, b"\xe5") for i in range(16)], "EBADMSG",
         "belongs to it twice"),
        ("root leads into a free cluster", [link(2, 0)] + [(fat.root_at + 32 * i, b"\xe5") for i in range(16)],
         "EBADMSG", "found 0"),
        ("root leads beyond", [link(2, end + 5)] + [(fat.root_at + 32 * i, b"\xe5") for i in range(16)],
         "EBADMSG", "expected a cluster from 2"),
        ("root leads into a bad cluster", [link(2, 0x0FFFFFF7)]
         + [(fat.root_at + 32 * i, b"\xe5") for i in range(16)], "EBADMSG", "bad cluster"),
        ("two directories", [(home_entry + 32, peek(fat.path, home_entry - 32, 64))], "EBADMSG", "two SIGHTLINE"),
        ("more clusters than FAT32 has", [(13, b"\1"), (32, u32(0))], "EBADMSG", "volume: expected"),
        ("no directory", [(home_entry, b"NIGHTL~1")], "ENOENT", "no directory SIGHTLINE"),
        ("directory is a file", [(home_entry + 11, b"\x20")], "ENOENT", "no directory SIGHTLINE"),
        ("directory at cluster 0", [(home_entry + 20, u16(0)), (home_entry + 26, u16(0))], "EBADMSG", "/SIGHTLINE"),
        ("directory is the root", [(home_entry + 20, u16(0)), (home_entry + 26, u16(2))], "EBADMSG",
         "or to two directories"),
        ("directory in a circle", [link(home, home)] + [(home_at + 32 * i, b"\xe5") for i in range(16)],
         "EBADMSG", "belongs to it twice"),
        ("directory leads into the root", [link(home, 2)] + [(home_at + 32 * i, b"\xe5") for i in range(16)],
         "EBADMSG", "belongs to it twice"),
        ("file in a circle", [link(first + 3, first)], "EBADMSG", "in a circle"),
        ("file onto itself", [link(first, first)], "EBADMSG", "in a circle"),
        ("file's chain ends early", [link(first + 3, 0x0FFFFFFF)], "EBADMSG", "ends before"),
        ("file's chain goes on", [(file + 28, u32(512))], "EBADMSG", "goes on"),
        ("file's chain is free", [link(first + 3, 0)], "EBADMSG", "after cluster"),
        ("file's chain leads beyond", [link(first + 3, end)], "EBADMSG", "after cluster"),
        ("file longer than the volume", [(file + 28, u32(0xFFFFFFFF))], "EBADMSG", "the volume has"),
        ("file at cluster 0", [(file + 20, u16(0)), (file + 26, u16(0))], "EBADMSG", "first cluster"),
        ("file at cluster 1", [(file + 20, u16(0)), (file + 26, u16(1))], "EBADMSG", "first cluster"),
        ("file beyond the volume", [(file + 20, u16(0x0FFF))], "EBADMSG", "first cluster"),
        ("NTFS", [(0, b"\xebR\x90NTFS    ")], "EOPNOTSUPP", "NTFS"),
        ("boot sector without a jump", [(0, b"\0\0\0"), (446, bytes(64))], "ENOENT", "no partition"),
    ]


def exfat_mutations(fs):
    """As above; 'boot' and 'set' say that the checksum is made right again, or the error would be found first."""
    file, row = fs.entry["a.slb"], fs.entry["Row.SLB"]
    first = struct.unpack("<I", peek(fs.path, file + 52, 4))[0]
    bitmap, upcase = fs.root_entry_at(0x81), fs.root_entry_at(0x82)
    root_at, home_at = fs.cluster_at(fs.root), fs.cluster_at(fs.home)
    volume = struct.unpack("<Q", peek(fs.path, 72, 8))[0]
    free = next(at for at in range(root_at, root_at + fs.cluster_bytes, 32) if peek(fs.path, at, 1) == b"\0")

    def link(cluster, value):
        return (fs.fat_at + 4 * cluster, u32(value))
    return [
        ("boot region changed", [(2 * 512 + 17, b"x")], "EBADMSG", "boot region: expected checksum", None),
        ("one word of the checksum", [(11 * 512 + 500, b"xxxx")], "EBADMSG", "boot region", None),
        ("boot sector not zero", [(20, b"x")], "EBADMSG", "expected zero", "boot"),
        ("sector of 256 bytes", [(108, b"\x08")], "EBADMSG", "shift of 9 to 12", "boot"),
        ("sector of 8 KiB", [(108, b"\x0d")], "EBADMSG", "shift of 9 to 12", "boot"),
        ("cluster of 64 MiB", [(109, b"\x11")], "EBADMSG", "cluster size", "boot"),
        ("version 2", [(105, b"\2")], "EOPNOTSUPP", "version 1", "boot"),
        ("no tables", [(110, b"\0")], "EBADMSG", "expected 1 or 2", "boot"),
        ("second table of one", [(106, b"\1")], "EBADMSG", "current table", "boot"),
        ("volume beyond the device", [(72, u64(volume + 1))], "EBADMSG", "volume: expected", "boot"),
        ("volume of 2^64-1 sectors", [(72, u64(2**64 - 1))], "EBADMSG", "volume: expected", "boot"),
        ("table in the boot region", [(80, u32(3))], "EBADMSG", "between sectors 24", "boot"),
        ("table of 2^32-1 sectors", [(84, u32(2**32 - 1))], "EBADMSG", "between sectors", "boot"),
        ("table too short", [(84, u32(1))], "EBADMSG", "entries or more", "boot"),
        ("heap beyond the volume", [(88, u32(2**32 - 1))], "EBADMSG", "clusters: expected 1 to 0", "boot"),
        ("2^32-1 clusters", [(92, u32(2**32 - 1))], "EBADMSG", "clusters: expected", "boot"),
        ("no clusters", [(92, u32(0))], "EBADMSG", "clusters: expected", "boot"),
        ("root cluster 1", [(96, u32(1))], "EBADMSG", "root directory: expected a cluster", "boot"),
        ("root cluster beyond", [(96, u32(fs.clusters + 2))], "EBADMSG", "root directory: expected", "boot"),
        ("table of zeros", [(fs.fat_at, bytes(512))], "EBADMSG", "expected fffffff8", None),
        ("no bitmap", [(bitmap, b"\1")], "EBADMSG", "an allocation bitmap and one up-case", None),
        ("bitmap too short", [(bitmap + 24, u64(1))], "EBADMSG", "allocation bitmap: expected", None),
        ("bitmap of 2^63 bytes", [(bitmap + 24, u64(2**63))], "EFBIG", "allocation bitmap", None),
        ("no up-case table", [(upcase, b"\2")], "EBADMSG", "up-case", None),
        ("two up-case tables", [(root_at, peek(fs.path, upcase, 32))], "EBADMSG", "up-case table too many", None),
        ("three bitmaps", [(root_at + 32 * i, peek(fs.path, bitmap, 32)) for i in (0, 2, 3)], "EBADMSG",
         "bitmap too many", None),
        ("up-case table changed", [(upcase + 4, b"xxxx")], "EBADMSG", "up-case table: expected checksum", None),
        ("up-case table too long", [(upcase + 24, u64(200_000))], "EBADMSG", "up-case table: expected 1 to", None),
        ("up-case table at cluster 0", [(upcase + 20, u32(0))], "EBADMSG", "first cluster", None),
        ("unknown critical entry", [(root_at, b"\x86")], "EOPNOTSUPP", "entry type 86", None),
        ("entry set changed", [(file + 8, b"x")], "EBADMSG", "entry set: expected checksum", None),
        ("entry set of 0", [(file + 1, b"\0")], "EBADMSG", "2 to 18", None),
        ("entry set of 255", [(file + 1, b"\xff")], "EBADMSG", "2 to 18", None),
        ("entry set runs into the next", [(file + 1, b"\x12")], "EBADMSG", "entry set: expected type", None),
        ("no stream", [(file + 32, b"\xc1")], "EBADMSG", "expected type c0", None),
        ("name of no length", [(file + 35, b"\0")], "EBADMSG", "expected a name", file),
        ("name longer than its entries", [(file + 35, b"\x20")], "EBADMSG", "expected a name", file),
        ("name of another hash", [(file + 36, b"xx")], "EBADMSG", "hash", file),
        ("more valid bytes than bytes", [(file + 40, u64(2**63))], "EBADMSG", "valid bytes", file),
        ("bytes without an allocation", [(file + 33, b"\0")], "EBADMSG", "without an allocation", file),
        ("file of 2^64-1 bytes", [(file + 56, u64(2**64 - 1))], "EFBIG", "expected at most", file),
        ("file longer than the volume", [(file + 56, u64(2**32 - 1))], "EBADMSG", "the volume has", file),
        ("file at cluster 0", [(file + 52, u32(0))], "EBADMSG", "first cluster", file),
        ("file beyond the volume", [(file + 52, u32(2**32 - 1))], "EBADMSG", "first cluster", file),
        ("row beyond the volume", [(row + 52, u32(fs.clusters))], "EBADMSG", "in a row", row),
        ("file in a circle", [link(first + 2, first)], "EBADMSG", "in a circle", None),
        ("file's chain ends early", [link(first + 2, 0xFFFFFFFF)], "EBADMSG", "ends before", None),
        ("file's chain is bad", [link(first + 2, 0xFFFFFFF7)], "EBADMSG", "bad cluster", None),
        ("directory in a circle", [link(fs.home, fs.home)], "EBADMSG", "belongs to it twice", None),
        ("directory leads into the root", [link(fs.home, fs.root)], "EBADMSG", "two directories", None),
        ("directory's chain ends early", [link(fs.home, 0xFFFFFFFF)], "EBADMSG", "bytes are missing", None),
        ("directory is the root", [(fs.home_entry + 52, u32(fs.root))], "EBADMSG", "two directories",
         fs.home_entry),
        ("directory at cluster 0", [(fs.home_entry + 52, u32(0))], "EBADMSG", "/SIGHTLINE", fs.home_entry),
        ("directory of 2^60 bytes", [(fs.home_entry + 56, u64(2**60)), (fs.home_entry + 40, u64(2**60))],
         "EBADMSG", "/SIGHTLINE: expected whole clusters", fs.home_entry),
        ("directory of 100 bytes", [(fs.home_entry + 56, u64(100)), (fs.home_entry + 40, u64(100))], "EBADMSG",
         "/SIGHTLINE: expected whole clusters", fs.home_entry),
        ("two directories", [(free, sticks.entry_set("SIGHTLINE", fs.home, fs.cluster_bytes, True))], "EBADMSG",
         "two SIGHTLINE", None),
        ("no directory", [(fs.home_entry + 4, u16(0x20))], "ENOENT", "no directory SIGHTLINE", fs.home_entry),
        ("bitmap outside the root", [(home_at, b"\x81" + bytes(31))], "EOPNOTSUPP", "entry type 81", None),
    ]


def mutate(path, changes, check, repair=lambda: None):
    saved = [(at, peek(path, at, len(data))) for at, data in changes]
    for at, data in changes:
        patch(path, at, data)
    try:
        repair()
        check()
    finally:
        for at, data in reversed(saved):
            patch(path, at, data)


def hostile_fat(folder):
    fat, files = fat_stick(folder, "hostile-fat", 40 * MIB, "-F", "32", "-s", "1")
    table = fat_mutations(fat)
    for name, changes, status, text in table:
        try:
            mutate(fat.path, changes, lambda: refuse(fat.path, status, text))
        except AssertionError as error:
            raise AssertionError(f"FAT32, {name}: {error}") from None
    expect(fat.path, "FAT32", files)
    return len(table)


def hostile_exfat(folder):
    fs, files = exfat_stick(folder, "hostile-exfat", 32 * MIB, "-c", "512")
    expect(fs.path, "exFAT", files)
    table = exfat_mutations(fs)
    boot = peek(fs.path, 0, 12 * 512)
    for name, changes, status, text, seal in table:
        def repair():
            if seal == "boot":
                fs.reseal_boot()
            elif seal is not None:
                fs.reseal_set(seal)
        saved = peek(fs.path, seal + 2, 2) if isinstance(seal, int) else None
        try:
            mutate(fs.path, changes, lambda: refuse(fs.path, status, text), repair)
        except AssertionError as error:
            raise AssertionError(f"exFAT, {name}: {error}") from None
        patch(fs.path, 0, boot)
        if saved:
            patch(fs.path, seal + 2, saved)
    expect(fs.path, "exFAT", files)
    return len(table)


def hostile_partitions(folder):
    fat, files = fat_stick(folder, "hostile-part", 40 * MIB, "-F", "32", "-s", "1")
    path, device = f"{folder}/hostile-gpt", 64 * MIB // 512
    sticks.embed(fat.path, path, MIB, 64 * MIB)
    sectors = 40 * MIB // 512
    cases = [
        ("beyond the device", [sticks.mbr_entry(0x0C, 2048, device)], "EBADMSG", "partition 1: expected sectors"),
        ("starts beyond", [sticks.mbr_entry(0x0C, 0xFFFFFFFF, 1)], "EBADMSG", "partition 1: expected sectors"),
        ("of no length", [sticks.mbr_entry(0x0C, 2048, 0)], "EBADMSG", "partition 1: expected sectors"),
        ("at sector 0", [sticks.mbr_entry(0x0C, 0, 100)], "EBADMSG", "partition 1: expected sectors"),
        ("odd boot mark", [sticks.mbr_entry(0x0C, 2048, sectors, 0x13)], "EBADMSG", "boot mark"),
        ("only extended", [sticks.mbr_entry(0x05, 2048, sectors)], "ENOENT", "no partition"),
        ("shorter than its volume", [sticks.mbr_entry(0x0C, 2048, sectors - 1)], "EBADMSG", "volume: expected"),
        ("no file system", [sticks.mbr_entry(0x0C, 4096, sectors)], "EOPNOTSUPP", "expected FAT16"),
        ("protective, no GPT", [sticks.mbr_entry(0xEE, 1, device - 1)], "EBADMSG", "EFI PART"),
    ]
    for name, entries, status, text in cases:
        patch(path, 0, sticks.mbr(entries))
        try:
            refuse(path, status, text)
        except AssertionError as error:
            raise AssertionError(f"MBR, {name}: {error}") from None
    gpt = [(2048, 2048 + sectors - 1)]
    both = lambda at, data: [(512 + at, data), ((device - 1) * 512 + at, data)]
    table_at = (device - 33) * 512
    rows = [
        ("checksum of the header", both(56, b"x"), "GPT header: expected checksum"),
        ("length of the header", both(12, u32(4096)), "GPT header: expected a length"),
        ("checksum of the table", [(1024 + 60, b"x"), (table_at + 60, b"x")], "GPT table: expected checksum"),
        ("entries of 2^31 bytes", both(84, u32(2**31)), "GPT header"),
    ]
    for name, changes, text in rows:
        sticks.write_gpt(path, 64 * MIB, gpt)
        try:
            mutate(path, changes, lambda: refuse(path, "EBADMSG", text))
        except AssertionError as error:
            raise AssertionError(f"GPT, {name}: {error}") from None
    for at, data, text in ((24, u64(9), "its own sector"), (84, u32(2**31), "a table of at most"),
                           (84, u32(100), "a table of at most"), (80, u32(0), "a table of at most"),
                           (80, u32(513), "a table of at most"), (48, u64(2**63), "expected sectors up to"),
                           (40, u64(2**40), "expected sectors up to"), (72, u64(device), "expected sectors up to"),
                           (72, u64(0), "expected sectors up to")):
        sticks.write_gpt(path, 64 * MIB, gpt)
        for header in (512, (device - 1) * 512):
            patch(path, header + at, data)
            patch(path, header + 16, u32(0))
            patch(path, header + 16, u32(zlib.crc32(peek(path, header, 92))))
        refuse(path, "EBADMSG", text)
    for first, last in ((2048, 2**64 - 1), (5000, 2048), (1, 4000), (2048, device)):
        sticks.write_gpt(path, 64 * MIB, [(first, last)])
        refuse(path, "EBADMSG", "partition 1: expected sectors within")
    sticks.write_gpt(path, 64 * MIB, gpt)
    expect(path, "FAT32", files, 1)
    return len(cases) + len(rows) + 9 + 4


def long_directory(folder):
    """A directory of nothing but deleted entries, longer than any that is read."""
    fat, _ = fat_stick(folder, "long-directory", 40 * MIB, "-F", "32", "-s", "1")
    home, first, count = fat.entry_cluster(fat.entry_at(b"SIGHTL~1")), 20_000, 8200
    fat.link(home, first)
    patch(fat.path, fat.fat_at + 4 * first, struct.pack(f"<{count}I", *range(first + 1, first + count), 0x0FFFFFFF))
    for start, length in ((fat.cluster_at(home), 512), (fat.cluster_at(first), 512 * count)):
        patch(fat.path, start, (b"\xe5" + bytes(31)) * (length // 32))
    refuse(fat.path, "EBADMSG", "directory: more than 8192 clusters")
    return 1


def second_table(folder):
    """A volume that says its second table is the current one."""
    fat, files = fat_stick(folder, "second-table", 40 * MIB, "-F", "32", "-s", "1")
    patch(fat.path, 40, u16(0x81))
    patch(fat.path, fat.fat_at, bytes(fat.fat_bytes))
    expect(fat.path, "FAT32", files)


def broken_long_names(folder):
    """Long names that do not belong to their short one: the short one counts, as the specification says."""
    fat = Fat(f"{folder}/names", 40 * MIB, "-F", "32", "-s", "1")
    fat.directory()
    data = content(1, 100)
    fat.add("a long name.slb", data)
    start = fat.cluster_at(fat.entry_cluster(fat.entry_at(b"SIGHTL~1")))
    long = fat.entry_at(b"ALONGN~1SLB", start) - 64  # after '.' and '..' there are two entries of the name
    whole = peek(fat.path, long, 64)
    for at, value in ((0, b"\x43"), (0, b"\x5f"), (13, b"\0"), (32, b"\2"), (32, b"\0"),
                      (45, b"\0"), (33, b"\0\0"), (33, b"/\0"), (33, b"\x1f\0")):
        patch(fat.path, long, whole)
        patch(fat.path, long + at, value)
        code, _, found, errors = read(fat.path)
        names = list(found)
        assert code == 0 and not errors and names == [] if value == b"\0" and at == 32 else names == ["ALONGN~1.SLB"], \
            (at, value, names, errors)
    patch(fat.path, long, whole)
    expect(fat.path, "FAT32", {"a long name.slb": data})


def cut(folder):
    """A device that ends anywhere: an error, or the files that are still whole."""
    fat, files = fat_stick(folder, "cut-fat", 40 * MIB, "-F", "32", "-s", "1")
    fs, _ = exfat_stick(folder, "cut-exfat", 32 * MIB)
    for path in (fat.path, fs.path):
        for length in (32 * MIB - 1, 20 * MIB, MIB, 70_000, 6144, 6143, 1024, 513, 512, 511, 1, 0):
            os.truncate(path, length)
            code, _, _, errors = read(path)
            assert code == 1 and errors, (path, length)
    return 24


def small(folder):
    """FAT12 by name, and the marks of a volume that was pulled out."""
    path = f"{folder}/fat12"
    Fat(path, 2 * MIB, "-F", "12")
    refuse(path, "EOPNOTSUPP", "FAT12")
    fat, files = fat_stick(folder, "dirty", 40 * MIB, "-F", "32", "-s", "1")
    fat.link(1, 0x07FFFFFF)
    expect(fat.path, "FAT32", files, dirty=True)
    fs, files = exfat_stick(folder, "dirty-exfat", 32 * MIB)
    patch(fs.path, 106, b"\2")
    expect(fs.path, "exFAT", files, dirty=True)
    return 1


GOOD = [good_fat, fragmented, many, partitions, good_exfat]
BAD = [hostile_fat, hostile_exfat, hostile_partitions, long_directory, second_table, broken_long_names, cut, small]


def main():
    global READER
    READER = sys.argv[1]
    wanted = sys.argv[2:]
    if sticks.MISSING:
        print(f"skipped: no {', '.join(sticks.MISSING)}")
        return 77
    refused = 0
    folder = tempfile.mkdtemp(prefix="sightline-sticks-")
    try:
        for test in GOOD + BAD:
            if not wanted or test.__name__ in wanted:
                inner = f"{folder}/{test.__name__}"
                os.mkdir(inner)
                refused += test(inner) or 0
                shutil.rmtree(inner)
                print(f"{test.__name__}: ok", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{refused} damaged or hostile sticks refused as expected; slowest read {SLOWEST:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
