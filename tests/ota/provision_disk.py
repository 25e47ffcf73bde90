#!/usr/bin/env python3
"""deploy/provision.sh on image files and folders: what it makes, leaves alone and refuses.

    provision_disk.py PROVISION.SH SIGHTLINE
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SIGHTLINE = pathlib.Path(sys.argv.pop()).resolve()
SCRIPT = pathlib.Path(sys.argv.pop()).resolve()
LABELS = ["sl-state-0", "sl-model-a", "sl-model-b", "sl-state-1", "sl-golden"]
MIB = 1 << 20


class Provision(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.at = pathlib.Path(place.name)
        self.image = self.at / "image"

    def make_image(self, mib=120, table=None):
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(mib * MIB)
        if table:
            subprocess.run(["sfdisk", "-q", self.image], input=table, text=True, check=True)

    def run_script(self, *words, status=0):
        done = subprocess.run([SCRIPT, *map(str, words)], cwd=self.at, text=True, capture_output=True, timeout=60,
                              env={**os.environ, "SIGHTLINE": str(SIGHTLINE), "TMPDIR": str(self.at)})
        self.assertEqual(done.returncode, status, f"{words}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def partitions(self):
        dump = subprocess.run(["sfdisk", "--dump", self.image], capture_output=True, text=True).stdout
        rows = re.findall(r"start= *(\d+), size= *(\d+),.*name=\"([^\"]*)\"", dump)
        return {name: (int(start), int(size)) for start, size, name in rows}

    def octets(self):
        return hashlib.sha256(self.image.read_bytes()).hexdigest()

    def test_an_empty_image(self):
        self.make_image()
        self.run_script("--slot-size", "16", self.image)
        found = self.partitions()
        self.assertEqual(list(found), LABELS)
        for name, (start, size) in found.items():
            self.assertEqual(size * 512, (4 if "state" in name else 16) * MIB)
            self.assertEqual(start * 512 % MIB, 0)
        before = self.octets()
        self.assertIn("nothing was changed", self.run_script("--slot-size", "16", self.image))
        self.run_script("--slot-size", "8", self.image)  # larger than wanted is fine
        self.assertIn("expected at least 17", self.run_script("--slot-size", "17", self.image, status=1))
        self.run_script("--slot-size", "17", "--erase", self.image, status=1)
        self.assertEqual(self.octets(), before)

    def test_other_data_stays(self):
        def spoiled():
            self.make_image()
            with open(self.image, "r+b") as file:
                file.seek(119 * MIB + 500)
                file.write(b"x")

        def file_system():
            self.make_image()
            subprocess.run(["mkfs.vfat", self.image], check=True, capture_output=True)

        for prepare in (lambda: self.make_image(table="label: gpt\nsize=8M, name=os\n"),
                        lambda: self.make_image(table="label: dos\nsize=8M\n"), spoiled, file_system):
            prepare()
            before = self.octets()
            self.assertIn("other data", self.run_script("--slot-size", "16", self.image, status=1))
            self.assertEqual(self.octets(), before)
            self.run_script("--slot-size", "16", "--erase", self.image)
            self.assertEqual(list(self.partitions()), LABELS)

    def test_beside_other_partitions(self):
        self.make_image(table="label: gpt\nsize=8M, name=os\n")
        system = self.partitions()["os"]
        self.run_script("--slot-size", "16", "--append", self.image)
        self.assertEqual(list(self.partitions()), ["os", *LABELS])
        self.assertEqual(self.partitions()["os"], system)
        self.assertIn("nothing was changed", self.run_script("--slot-size", "16", self.image))
        self.make_image(table="label: gpt\nsize=80M, name=os\n")  # no room behind it
        before = self.octets()
        self.run_script("--slot-size", "16", "--append", self.image, status=1)
        self.assertEqual(self.octets(), before)
        self.make_image()
        self.assertIn("no partitions", self.run_script("--slot-size", "16", "--append", self.image, status=1))

    def test_half_prepared(self):
        self.make_image(table="label: gpt\nsize=8M, name=sl-state-0\nsize=16M, name=sl-model-a\n")
        before = self.octets()
        self.assertIn("2 of the 5", self.run_script("--slot-size", "16", self.image, status=1))
        self.assertEqual(self.octets(), before)

    def test_refusals_and_usage(self):
        self.make_image(20)
        self.assertIn("expected at least", self.run_script("--slot-size", "16", self.image, status=1))
        self.run_script("--slot-size", "16", self.at / "none", status=1)
        self.run_script("--slot-size", "16", self.at, status=1)
        for words in ((), ("--nothing",), (self.image, "b"), (self.image, "--folder", "x"), ("--slot-size", "0", "x"),
                      ("--slot-size", "-1", "x"), ("--slot-size", "9999", "x"), ("--slot-size",),
                      (self.image, "--erase", "--append"), (self.image, "--root", "r"), (self.image, "--bundle", "b"),
                      (self.image, "--root", "r", "--bundle", "b")):
            self.run_script(*words, status=2)
        self.assertIn("usage", self.run_script("--help"))
        self.make_image()
        before = self.octets()
        self.assertIn("name=sl-golden", self.run_script("--dry-run", "--slot-size", "16", self.image))
        self.assertEqual(self.octets(), before)

    def test_a_folder_with_a_bundle_and_a_key(self):
        def tool(*words):
            subprocess.run([SIGHTLINE, "bundle", *words], cwd=self.at, check=True, capture_output=True)

        tool("keygen", "r1", "r2", "a")
        tool("rotate", "-o", "1.slr", "--root-key=r1.pub", "--root-key=r2.pub", "--release-key=a.pub", "-k", "r1",
             "-k", "r2")
        more = ("--slot-size", "16", "--device-key", "device.key", "--folder", "slots")
        self.run_script(*more)
        self.assertEqual((self.at / "device.key").stat().st_mode & 0o777, 0o600)
        tool("create", "-n", "1.1", "-h", "cam-hd", "-c", "1.slr", "-k", "a", "-o", "m.slb",
             "--encrypt-for=device.key.pub", str(SOURCE / "deploy/models/pcb"))
        key = (self.at / "device.key").read_bytes()
        self.run_script(*more, "--root", "1.slr", "--bundle", "m.slb")
        self.assertIn("serves already", self.run_script(*more, "--root", "1.slr", "--bundle", "m.slb"))
        self.assertEqual((self.at / "device.key").read_bytes(), key)
        done = subprocess.run([SIGHTLINE, "slot", "status", self.at / "slots"])
        self.assertEqual(done.returncode, 0)


if __name__ == "__main__":
    if not shutil.which("sfdisk", path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
        print("no sfdisk here")
        sys.exit(77)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    unittest.main()
