"""Makes images of sticks without root: FAT by mkfs.vfat and mtools, exFAT by mkfs.exfat and the writer here."""

import os
import random
import shutil
import struct
import subprocess
import uuid
import zlib

MISSING = [tool for tool in ("mkfs.vfat", "mkfs.exfat", "fsck.exfat", "mcopy") if not shutil.which(tool)]
MIB = 1 << 20


def run(*command):
    env = dict(os.environ, MTOOLS_SKIP_CHECK="1", MTOOLSRC="/dev/null", LC_ALL="C.UTF-8")
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env, timeout=60)
    if result.returncode != 0:
        raise RuntimeError(f"{command}: {result.stdout}{result.stderr}")


def content(seed, length):
    return random.Random(seed).randbytes(length)


def blank(path, length):
    with open(path, "wb") as file:
        file.truncate(length)


def patch(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def peek(path, at, length):
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(length)


# --- partition tables ---------------------------------------------------------------------------

def mbr_entry(kind, first, count, active=0):
    return struct.pack("<B3sB3sII", active, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", first, count)


def mbr(entries):
    return b"\0" * 446 + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def gpt_header(lba, other, device, unit, table_lba, table):
    def pack(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, lba, other, 34, device - 34,
                           uuid.UUID(int=7).bytes_le, table_lba, 128, 128, zlib.crc32(table))
    return pack(zlib.crc32(pack(0))).ljust(unit, b"\0")


def write_gpt(path, length, parts, unit=512):
    """parts: [(first, last)] in units"""
    basic = uuid.UUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7").bytes_le
    rows = [struct.pack("<16s16sQQQ72s", basic, uuid.UUID(int=i + 1).bytes_le, first, last, 0, b"")
            for i, (first, last) in enumerate(parts)]
    table, device = b"".join(rows).ljust(128 * 128, b"\0"), length // unit
    blocks = len(table) // unit
    patch(path, 0, mbr([mbr_entry(0xEE, 1, min(device - 1, 0xFFFFFFFF))]))
    patch(path, unit, gpt_header(1, device - 1, device, unit, 2, table) + table)
    patch(path, (device - 1 - blocks) * unit, table)
    patch(path, (device - 1) * unit, gpt_header(device - 1, 1, device, unit, device - 1 - blocks, table))


def embed(volume, path, start, length):
    """Puts a volume's image at byte `start` of a device of `length` bytes."""
    blank(path, length)
    with open(volume, "rb") as source, open(path, "r+b") as target:
        target.seek(start)
        while piece := source.read(MIB):
            if piece.count(0) == len(piece):
                target.seek(len(piece), 1)
            else:
                target.write(piece)


# --- FAT ----------------------------------------------------------------------------------------

class Fat:
    """A FAT volume in a file; mtools writes, this reads enough geometry to damage it on purpose."""

    def __init__(self, path, length, *options):
        self.path = path
        blank(path, length)
        run("mkfs.vfat", "-i", "5157A11E", *options, path)
        boot = peek(path, 0, 512)
        self.sector, self.per_cluster, reserved, tables, roots = struct.unpack_from("<HBHBH", boot, 11)
        size16, size32 = struct.unpack_from("<H", boot, 22)[0], struct.unpack_from("<I", boot, 36)[0]
        self.wide = size16 == 0
        self.fat_at = reserved * self.sector
        self.fat_bytes = (size16 or size32) * self.sector
        self.root_at = self.fat_at + tables * self.fat_bytes
        self.heap_at = self.root_at + roots * 32
        if self.wide:
            self.root_at = self.cluster_at(struct.unpack_from("<I", boot, 44)[0])

    def cluster_at(self, cluster):
        return self.heap_at + (cluster - 2) * self.sector * self.per_cluster

    def directory(self, name="SIGHTLINE"):
        run("mmd", "-i", self.path, f"::{name}")

    def add(self, name, data, directory="SIGHTLINE"):
        file = f"{self.path}.part"
        with open(file, "wb") as out:
            out.write(data)
        run("mcopy", "-i", self.path, file, f"::{directory}/{name}")
        os.unlink(file)

    def remove(self, *names, directory="SIGHTLINE"):
        run("mdel", "-i", self.path, *[f"::{directory}/{name}" for name in names])

    def entry_at(self, short, start=None, length=1 << 16):
        """The byte where the 32-byte entry with the 11-byte name `short` stands."""
        start = self.root_at if start is None else start
        at = peek(self.path, start, length).find(short)
        assert at >= 0, short
        return start + at

    def entry_cluster(self, at):
        entry = peek(self.path, at, 32)
        high, low = struct.unpack_from("<H", entry, 20)[0], struct.unpack_from("<H", entry, 26)[0]
        return high << 16 | low if self.wide else low

    def link(self, cluster, value):
        width, form = (4, "<I") if self.wide else (2, "<H")
        patch(self.path, self.fat_at + width * cluster, struct.pack(form, value))


# --- exFAT --------------------------------------------------------------------------------------

def rotate_sum(data, skip=(), bits=32):
    total, mask = 0, (1 << bits) - 1
    for index, byte in enumerate(data):
        if index not in skip:
            total = ((total >> 1 | total << (bits - 1)) + byte) & mask
    return total


def set_sum(entries):
    return rotate_sum(entries, (2, 3), 16)


def name_hash(name):
    return rotate_sum(name.upper().encode("utf-16-le"), (), 16)


def entry_set(name, first, length, directory=False, contiguous=False, valid=None):
    units = name.encode("utf-16-le")
    count = len(units) // 2
    pieces = [units[i:i + 30].ljust(30, b"\0") for i in range(0, len(units), 30)]
    stamp = 0x5A210000
    head = struct.pack("<BBHHHIIIBBBBB7s", 0x85, 1 + len(pieces), 0, 0x10 if directory else 0x20, 0, stamp, stamp,
                       stamp, 0, 0, 0x80, 0x80, 0x80, b"")
    flags = 1 | (2 if contiguous else 0)
    stream = struct.pack("<BBBBHHQIIQ", 0xC0, flags, 0, count, name_hash(name), 0,
                         length if valid is None else valid, 0, first, length)
    rest = b"".join(b"\xc1\0" + piece for piece in pieces)
    entries = bytearray(head + stream + rest)
    struct.pack_into("<H", entries, 2, set_sum(entries))
    return bytes(entries)


class Exfat:
    """Formats with mkfs.exfat, then adds directories and files; fsck.exfat can judge the result."""

    def __init__(self, path, length, *options):
        self.path = path
        blank(path, length)
        run("mkfs.exfat", *options, path)
        boot = peek(path, 0, 512)
        fat, self.fat_sectors, heap, self.clusters, self.root = struct.unpack_from("<IIIII", boot, 80)
        self.sector = 1 << boot[108]
        self.cluster_bytes = self.sector << boot[109]
        self.fat_at, self.heap_at = fat * self.sector, heap * self.sector
        self.bitmap = self.find_root(0x81)
        self.next = self.root + 1
        self.ends = {}

    def cluster_at(self, cluster):
        return self.heap_at + (cluster - 2) * self.cluster_bytes

    def root_entry_at(self, kind):
        root = peek(self.path, self.cluster_at(self.root), self.cluster_bytes)
        return next(self.cluster_at(self.root) + at for at in range(0, len(root), 32) if root[at] == kind)

    def find_root(self, kind):
        return struct.unpack_from("<I", peek(self.path, self.root_entry_at(kind), 32), 20)[0]

    def take(self, cluster):
        at = self.cluster_at(self.bitmap) + (cluster - 2) // 8
        patch(self.path, at, bytes([peek(self.path, at, 1)[0] | 1 << (cluster - 2) % 8]))

    def link(self, cluster, value):
        patch(self.path, self.fat_at + 4 * cluster, struct.pack("<I", value))

    def allocate(self, count, gap=0):
        """`count` clusters, with `gap` free ones between two of them."""
        clusters = [self.next + i * (gap + 1) for i in range(count)]
        if count:
            assert clusters[-1] < self.clusters + 2
            self.next = clusters[-1] + 1
        for cluster in clusters:
            self.take(cluster)
        return clusters

    def chain(self, clusters):
        for here, there in zip(clusters, clusters[1:] + [0xFFFFFFFF]):
            self.link(here, there)

    def append(self, parent, entries):
        """Behind the last entry of a directory; returns where. A set may span clusters."""
        clusters, used = self.ends.setdefault(parent, ([parent], None))
        if used is None:
            data = peek(self.path, self.cluster_at(parent), self.cluster_bytes)
            used = next(at for at in range(0, len(data), 32) if data[at] == 0)
        start = self.cluster_at(clusters[used // self.cluster_bytes]) + used % self.cluster_bytes
        for at in range(0, len(entries), 32):
            index, within = divmod(used, self.cluster_bytes)
            patch(self.path, self.cluster_at(clusters[index]) + within, entries[at:at + 32])
            used += 32
        self.ends[parent] = (clusters, used)
        return start

    def directory(self, name, clusters=1, parent=None, contiguous=False, gap=0):
        taken = self.allocate(clusters, gap)
        if not contiguous:
            self.chain(taken)
        length = clusters * self.cluster_bytes
        self.ends[taken[0]] = (taken, 0)
        at = self.append(parent or self.root, entry_set(name, taken[0], length, True, contiguous))
        return taken[0], at

    def add(self, parent, name, data, contiguous=False, gap=0, valid=None, length=None):
        taken = self.allocate(-(-max(len(data), length or 0) // self.cluster_bytes), gap)
        if not contiguous:
            self.chain(taken)
        for i, cluster in enumerate(taken):
            patch(self.path, self.cluster_at(cluster), data[i * self.cluster_bytes:(i + 1) * self.cluster_bytes])
        length = len(data) if length is None else length
        return self.append(parent, entry_set(name, taken[0] if taken else 0, length, False, contiguous, valid))

    def reseal_boot(self, path=None):
        """Sums the boot region anew after a change."""
        path = path or self.path
        region = peek(path, 0, 11 * self.sector)
        patch(path, 11 * self.sector, struct.pack("<I", rotate_sum(region, (106, 107, 112))) * (self.sector // 4))

    def reseal_set(self, at):
        count = peek(self.path, at + 1, 1)[0]
        patch(self.path, at + 2, struct.pack("<H", set_sum(peek(self.path, at, 32 * (count + 1)))))
