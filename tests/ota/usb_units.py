#!/usr/bin/env python3
"""The units in deploy/systemd: sound for systemd, and with no more exposure than was promised.

    usb_units.py FOLDER SIGHTLINE_STICK
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

# exposure as `systemd-analyze security` says it
MOST = {"sightlined.service": 1.6, "sightline-otad.service": 1.5, "sightline-stick@.service": 0.7}
# What holds only where the programs and their pages are installed.
NOT_HERE = re.compile(r"Command .* (is not executable|failed with code)")
# A machine that nobody visits: these must not be lost from the two that run for years.
FOR_YEARS = ("Restart=always", "StartLimitIntervalSec=0")


def exposure(path):
    result = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", path],
                            capture_output=True, text=True, timeout=60)
    match = re.search(r"Overall exposure level for .*: ([0-9.]+)", result.stdout)
    assert match, (path, result.stdout, result.stderr)
    return float(match[1])


def verify(paths):
    result = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, timeout=60)
    lines = [line for line in result.stderr.splitlines() if line and not NOT_HERE.search(line)]
    assert not lines, "\n".join(lines)


def accounts(folder):
    """Every user and group that a unit names is one that is made."""
    with open(f"{folder}/sightline.sysusers.conf", encoding="utf-8") as file:
        made = {line.split()[1] for line in file if line[:1] in "ug"}
    made |= {"root", "video", "render"}
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            for line in file:
                match = re.match(r"(User|Group|SupplementaryGroups|SocketUser|SocketGroup)=(.*)", line)
                assert not match or set(match[2].split()) <= made, (name, line)


def expand(group):
    """The system calls of one of the service manager's groups."""
    result = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, timeout=60)
    calls = set()
    for word in result.stdout.split("\n")[1:]:
        word = word.strip()
        if word.startswith("@"):
            calls |= expand(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


def permitted(unit):
    """What a unit's SystemCallFilter= leaves."""
    calls = expand("@default")
    with open(unit, encoding="utf-8") as file:
        for line in file:
            if line.startswith("SystemCallFilter="):
                words = line.split("=", 1)[1].split()
                taken = words[0].startswith("~")
                words[0] = words[0].lstrip("~")
                for word in words:
                    named = expand(word) if word.startswith("@") else {word}
                    calls = calls - named if taken else calls | named
    return calls


def used(program, *arguments):
    """The system calls of a program that runs as the unit would run it: not root, no capabilities."""
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
                 "--no-new-privs"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="sightline-calls-") as folder:
        os.chmod(folder, 0o755)
        copy, log = f"{folder}/program", f"{folder}/calls"
        shutil.copy(program, copy)
        os.close(os.open(log, os.O_CREAT | os.O_WRONLY, 0o666))
        os.chmod(log, 0o666)
        result = subprocess.run([*as_nobody, "strace", "-f", "-o", log, copy, *arguments], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result
        with open(log, encoding="utf-8") as file:
            return {match[1] for match in (re.match(r"[0-9]+ +([a-z0-9_]+)\(", line) for line in file) if match}


def reader_fits_its_unit(folder, stick):
    if subprocess.run(["sh", "-c", "strace -o /dev/null true"], capture_output=True, timeout=60).returncode != 0:
        print("no strace here: the reader's system calls are not compared")
        return
    with tempfile.NamedTemporaryFile(prefix="sightline-stick-") as image:
        image.truncate(1 << 20)
        os.chmod(image.name, 0o644)
        calls = used(stick, image.name) | {"socket", "connect"}
    missing = calls - permitted(f"{folder}/sightline-stick@.service")
    assert "exit_group" in calls and not missing, missing


def main():
    folder = sys.argv[1]
    accounts(folder)
    for name in ("sightlined.service", "sightline-otad.service"):
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            text = file.read().splitlines()
        assert all(line in text for line in FOR_YEARS), name
    if not shutil.which("systemd-analyze"):
        print("skipped: no systemd-analyze")
        return 77
    verify([f"{folder}/{name}" for name in os.listdir(folder) if name.endswith((".service", ".socket"))])
    reader_fits_its_unit(folder, sys.argv[2])
    failed = 0
    for name, most in MOST.items():
        found = exposure(f"{folder}/{name}")
        failed += found > most
        print(f"{name}: exposure {found}, at most {most}{'' if found <= most else ': TOO MUCH'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
