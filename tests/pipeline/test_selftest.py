#!/usr/bin/env python3
"""sightline-selftest over its socket: what becomes of a new model beside one that serves, sound or broken.

Usage: test_selftest.py BUILD MODEL."""

import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile

BUILD, MODEL = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
SERVE, SELF_TEST, PASSED, FAILED = 1, 6, 9, 10  # ota/control.h
HEAD, COMPONENT, TEXT_AT = "=II32sIIIIQQQ1024sII", "=128sQQ", 80
ADD_SEALS, SEALS = 1033, 2 | 4 | 8  # neither smaller nor larger nor other


def components(change=None):
    names = ["model.yaml", "model.onnx", *(f"golden/{p.name}" for p in sorted((MODEL / "golden").iterdir()))]
    found = {name: (MODEL / name).read_bytes() for name in names}
    if change:
        change(found)
    return found


def truncated(found):
    found["model.onnx"] = found["model.onnx"][:5000]


def send(to, verb, found, memory=0):
    fd = os.memfd_create("bundle", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    rows, offset = [], 0
    for name, octets in found.items():
        os.write(fd, octets)
        rows.append(struct.pack(COMPONENT, name.encode(), offset, len(octets)))
        offset += len(octets)
    fcntl.fcntl(fd, ADD_SEALS, SEALS)
    head = struct.pack(HEAD, 1, verb, bytes(32), 0, 800000, 100000, 0, memory, 0, 0, b"", len(rows), 0)
    socket.send_fds(to, [head + b"".join(rows)], [fd])
    os.close(fd)


def ask(site, serving, found=None, **more):
    """Verb, text and stderr of the answer."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, subprocess.Popen([BUILD / "sightline-selftest", f"--must-detect={site}", str(there.fileno())],
                                pass_fds=[there.fileno()], stderr=subprocess.PIPE, text=True) as child:
        there.close()
        if serving:
            send(here, SERVE, serving)
        send(here, SELF_TEST, found or components(), **more)
        answer = here.recv(1 << 16)
        error = child.communicate(timeout=120)[1]
        assert child.returncode == 0, (child.returncode, error)
    return struct.unpack_from("=II", answer)[1], answer[TEXT_AT:TEXT_AT + 1024].split(b"\0")[0].decode(), error


def make_site(folder, more=""):
    folder.mkdir()
    for end in ("test.jpg", "temp.jpg"):
        (folder / f"000000_{end}").write_bytes((MODEL / f"golden/000000_{end}").read_bytes())
    boxes = [[float(v) for v in line.split()] for line in (MODEL / "golden/000000.expect").read_text().splitlines() if line]
    rows = [f"{b[0]:.0f} {b[1]:.0f} {b[2]:.0f} {b[3]:.0f} {b[4] + 1:.0f}\n" for b in boxes]
    (folder / "000000.txt").write_text("".join(rows) + more)
    return folder, len(boxes) + bool(more)


def check(answer, verb, text, error=""):
    assert answer[0] == verb and text in answer[1], answer
    assert error in answer[2] and (error or not answer[2]), answer


def judges(folder):
    found, _ = make_site(folder / "found")
    hard, n = make_site(folder / "hard", "3 3 30 30 1\n")  # the last, no model finds
    missed = f"must-detect set: 1 of {n} objects missed, 1 of them and all are wanted; the first in 000000"
    sound, broken = components(), components(truncated)
    check(ask(found, None), PASSED, "of memory")
    check(ask(hard, None), FAILED, missed)
    check(ask(hard, sound), PASSED, "of memory")
    check(ask(found, broken), PASSED, "of memory", "the model that serves cannot be loaded: ")
    check(ask(hard, broken), FAILED, missed, "the model that serves cannot be loaded: ")
    check(ask(found, sound, broken), FAILED, "model.onnx")
    check(ask(found, sound, memory=1 << 16), FAILED, "memory: ")


def is_not_asked():
    for verb in (None, PASSED, SERVE):
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            child = subprocess.Popen([BUILD / "sightline-selftest", str(there.fileno())], pass_fds=[there.fileno()])
        if verb:
            send(here, verb, components())
        here.close()
        assert child.wait(60) == 2, verb


with tempfile.TemporaryDirectory() as name:
    judges(pathlib.Path(name))
is_not_asked()
