#!/usr/bin/env python3
"""The units in deploy/systemd: sound for systemd, and with no more exposure than was promised.

    usb_units.py FOLDER
"""

import os
import re
import shutil
import subprocess
import sys

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
    failed = 0
    for name, most in MOST.items():
        found = exposure(f"{folder}/{name}")
        failed += found > most
        print(f"{name}: exposure {found}, at most {most}{'' if found <= most else ': TOO MUCH'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
