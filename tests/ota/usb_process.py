#!/usr/bin/env python3
"""The stick reader's process from outside: what it has given up, and its protocol by a second hand.

    usb_process.py SIGHTLINE_STICK
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import usb_sticks as sticks
from usb_sticks import MIB, Fat, content

STICK = None
PIECE = 256 << 10


def request(verb, index=0, offset=0, length=0, serial=7):
    return struct.pack("<IIIIQII", 0x51525453, serial, verb, index, offset, length, 0)


def receive(file, count):
    data = b""
    while len(data) < count:
        piece = os.read(file, count - len(data))
        if not piece:
            raise EOFError(f"{len(data)} of {count} bytes")
        data += piece
    return data


def reply(file):
    magic, serial, status, length = struct.unpack("<IIII", receive(file, 16))
    assert magic == 0x50525453 and serial == 7
    return status, receive(file, length)


@contextlib.contextmanager
def reader(*arguments, **options):
    process = subprocess.Popen([STICK, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    process.ask = lambda *numbers: (os.write(process.stdin.fileno(), request(*numbers)),
                                    reply(process.stdout.fileno()))[1]
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def given_up(path):
    spare = os.open(path, os.O_RDWR)
    with reader(path, pass_fds=[spare]) as process:
        assert process.ask(1)[0] == 0
        status = status_of(process.pid)
        assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1", status
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(status[kind], 16) == 0, (kind, status[kind])
        assert status["Threads"] == "1"
        if os.getuid() == 0:
            assert int(status["CapBnd"], 16) == 0, status["CapBnd"]
            assert "0" not in status["Uid"].split() + status["Gid"].split(), status
            assert status["Groups"].strip() == "", status["Groups"]
            fds = {int(fd): os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")}
            assert set(fds) - {0, 1} == {fd for fd, to in fds.items() if to == path} and len(fds) == 3, fds
            with open(f"/proc/{process.pid}/limits", encoding="utf-8") as file:
                limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
            for name in ("Max core file size", "Max file size", "Max processes", "Max open files"):
                assert limits[name] == ["0", "0"], (name, limits[name])
            owner = os.stat(f"/proc/{process.pid}/mem").st_uid
            assert owner == 0  # not dumpable: its memory is root's to see
        process.stdin.close()
        assert process.wait(10) == 0
        process.stdin = open(os.devnull, "rb")
    os.close(spare)


def protocol(path, data):
    with reader(path) as process:
        assert process.ask(2, 0, 0, 1)[0] == 22  # nothing listed yet
        code, body = process.ask(1)
        kind, partition, dirty, count, device = struct.unpack_from("<IIIIQ", body)
        length, name = struct.unpack_from("<QH", body, 24)
        assert (code, kind, partition, dirty, count) == (0, 2, 0, 0, 1) and device == os.path.getsize(path)
        assert (length, body[34:34 + name].decode()) == (len(data), "A bundle.slb")
        got = b"".join(process.ask(2, 0, at, min(PIECE, len(data) - at))[1] for at in range(0, len(data), PIECE))
        assert got == data
        for numbers in ((2, 0, len(data), 1), (2, 0, 2**64 - 1, 1), (2, 1, 0, 1), (2, 2**32 - 1, 0, 1),
                        (2, 0, 0, PIECE + 1), (2, 0, 0, 2**32 - 1), (3,), (0,), (2**32 - 1,)):
            code, message = process.ask(*numbers)
            assert code == 22 and message, numbers
        assert process.ask(2, 0, 0, 0) == (0, b"")
    for broken in (b"\0" * 32, request(1)[:-1] + b"\1", b"x"):
        with reader(path) as process:
            process.stdin.write(broken)
            process.stdin.close()
            assert process.wait(10) == 1, broken
            process.stdin = open(os.devnull, "rb")


def starts(path):
    """Sockets and descriptors to start with, and what is refused."""
    fd = os.open(path, os.O_RDONLY)
    with reader("--fd", str(fd), pass_fds=[fd]) as process:
        assert process.ask(1)[0] == 0
    os.close(fd)
    fd = os.open(path, os.O_RDWR)
    with reader("--fd", str(fd), pass_fds=[fd], stderr=subprocess.PIPE) as process:
        assert process.wait(10) == 1 and b"for reading only" in process.stderr.read()
        process.stderr.close()
    os.close(fd)
    at = path + ".sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(at)
        listener.listen(1)
        with reader("--connect", at, path) as process:
            connection, _ = listener.accept()
            connection.sendall(request(1))
            assert reply(connection.fileno())[0] == 0
            connection.close()
            assert process.wait(10) == 0
    for arguments, code in ((["--help"], 0), (["--version"], 0), ([], 2), ([path, path], 2), (["--fd", "3", path], 2),
                            (["--fd", "x"], 2), (["--fd", "1"], 2), (["--unknown"], 2), (["--fd", "77"], 1),
                            (["--connect", "/nonexistent", path], 1), (["--connect", "x" * 200, path], 1),
                            (["/nonexistent"], 1), (["/dev/null"], 1), (["/"], 1)):
        result = subprocess.run([STICK, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        assert result.returncode == code, (arguments, result)
        assert result.stdout or result.stderr, arguments


def agent_stops_reading(path):
    """Neither a full socket nor a vanished agent keeps the reader alive for ever."""
    here, there = socket.socketpair()
    process = subprocess.Popen([STICK, path], stdin=there, stdout=there)
    there.close()
    here.sendall(request(1))
    assert reply(here.fileno())[0] == 0
    here.sendall(request(2, 0, 0, PIECE) * 100)
    time.sleep(0.2)
    here.close()
    assert process.wait(10) == 1
    assert process.returncode != -signal.SIGSYS


def main():
    global STICK
    STICK = sys.argv[1]
    if sticks.MISSING:
        print(f"skipped: no {', '.join(sticks.MISSING)}")
        return 77
    folder = tempfile.mkdtemp(prefix="sightline-process-")
    try:
        fat, data = Fat(f"{folder}/stick", 40 * MIB, "-F", "32", "-s", "1"), content(1, 3 * MIB + 11)
        fat.directory()
        fat.add("A bundle.slb", data)
        given_up(fat.path)
        protocol(fat.path, data)
        starts(fat.path)
        agent_stops_reading(fat.path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("the reader keeps nothing that it could do harm with")
    return 0


if __name__ == "__main__":
    sys.exit(main())
