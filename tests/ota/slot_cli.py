#!/usr/bin/env python3
"""`sightline slot`: provisioning, what it refuses, and status over damaged storage.

    slot_cli.py SIGHTLINE-SLOT SIGHTLINE-BUNDLE
"""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUNDLE = pathlib.Path(sys.argv.pop()).resolve()
SLOT = pathlib.Path(sys.argv.pop()).resolve()
MODEL = SOURCE / "deploy/models/pcb"
PARTS = ["sl-golden", "sl-model-a", "sl-model-b", "sl-state-0", "sl-state-1"]


class Slots(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.made.cleanup)
        cls.keys = pathlib.Path(cls.made.name)
        cls.tool("keygen", "r1", "r2", "a", "b", "o1", "o2")
        for root, k1, k2 in (("1.slr", "r1", "r2"), ("other.slr", "o1", "o2")):
            cls.tool("rotate", "-o", root, f"--root-key={k1}.pub", f"--root-key={k2}.pub",
                     "--release-key=a.pub", "--release-key=b.pub", "--release-threshold=2",
                     "-k", k1, "-k", k2)
        cls.bundle("good.slb", "1.7", "-k", "a", "-k", "b")
        cls.bundle("one.slb", "1.8", "-k", "a")
        cls.bundle("large.slb", "1.4294967296", "-k", "a", "-k", "b")
        cls.tool("keygen", "cam1", "cam2")
        cls.bundle("secret.slb", "1.9", "-k", "a", "-k", "b", "--encrypt-for=cam1.pub")

    @classmethod
    def tool(cls, *arguments):
        subprocess.run([BUNDLE, *arguments], cwd=cls.keys, check=True, capture_output=True)

    @classmethod
    def bundle(cls, name, number, *more):
        cls.tool("create", "-n", number, "-h", "cam-hd", "-c", "1.slr", "-o", name, *more,
                 str(MODEL))

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.at = pathlib.Path(place.name)

    def slot(self, *arguments, status=0):
        done = subprocess.run([SLOT, *map(str, arguments)], cwd=self.keys, text=True,
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        if status:
            self.assertTrue(done.stderr)
        return done.stdout if status == 0 else done.stderr

    def provision(self, bundle="good.slb", root="1.slr", size=16, status=0):
        return self.slot("provision", f"--size={size}", "-r", root, self.at, bundle, status=status)

    def status(self, status=0):
        done = subprocess.run([SLOT, "status", "--json", self.at], text=True, capture_output=True,
                              timeout=60)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def spoil(self, part, offset, octets=b"\xff\x00\xff"):
        with open(self.at / part, "r+b") as file:
            file.seek(offset)
            before = file.read(len(octets))
            file.seek(offset)
            file.write(octets if before != octets else bytes(len(octets)))

    def contents(self):
        return {path.name: path.read_bytes() for path in self.at.iterdir()}

    def test_provisioned_storage_serves(self):
        self.provision()
        self.assertEqual(sorted(self.contents()), PARTS)
        seen = self.status()
        self.assertTrue(seen["serves"])
        self.assertEqual((seen["phase"], seen["active"], seen["root"]), ("idle", "sl-model-a", 1))
        slots = seen["slots"]
        self.assertEqual(slots["sl-model-a"], slots["sl-golden"])
        self.assertEqual(slots["sl-model-a"]["number"], "1.7")
        self.assertEqual(slots["sl-model-b"], {"authentic": False, "refusal": "format"})
        bytes_of = (self.keys / "good.slb").read_bytes()
        self.assertEqual((self.at / "sl-model-a").read_bytes()[:len(bytes_of)], bytes_of)

    def test_status_changes_nothing(self):
        self.provision()
        self.spoil("sl-state-1", 0, bytes(65536))
        before = self.contents()
        self.status()
        self.assertEqual(self.contents(), before)

    def test_a_number_may_have_64_bits(self):
        self.provision("large.slb")
        seen = self.status()
        self.assertEqual((seen["slots"]["sl-model-a"]["number"], seen["serves"]), ("1.4294967296", True))

    def test_second_time_changes_nothing(self):
        self.provision()
        before = self.contents()
        self.assertIn("provisioned already", self.provision(status=1))
        self.assertEqual(self.contents(), before)

    def test_bundles_that_are_refused_leave_no_state(self):
        for bundle, root, word in (("one.slb", "1.slr", "threshold"),
                                   ("good.slb", "other.slr", "root"),
                                   ("1.slr", "1.slr", ""), ("none", "1.slr", "No such file"),
                                   ("good.slb", "a.pub", "")):
            with self.subTest(bundle=bundle, root=root):
                self.assertIn(word, self.provision(bundle, root, status=1))
                self.slot("status", self.at, status=1)

    def test_damaged_bundles(self):
        good = (self.keys / "good.slb").read_bytes()
        for name, data in (("short", good[:-4096]), ("long", good + bytes(4096)),
                           ("flipped", good[:-5000] + bytes([good[-5000] ^ 1]) + good[-4999:])):
            with self.subTest(name):
                (self.keys / "damaged.slb").write_bytes(data)
                self.provision("damaged.slb", status=1)
                self.slot("status", self.at, status=1)

    def test_slot_that_is_too_small(self):
        need = (self.keys / "good.slb").stat().st_size
        (self.at / "sl-golden").write_bytes(bytes(need - 4096))
        self.assertIn("No space", self.provision(status=1))
        self.assertEqual((self.at / "sl-golden").read_bytes(), bytes(need - 4096))
        (self.at / "sl-golden").write_bytes(bytes(need))  # a part that fits exactly
        self.provision()

    def test_what_was_interrupted_starts_again(self):
        for delay in (0.002, 0.01, 0.03):
            child = subprocess.Popen([SLOT, "provision", "--size=16", "-r", "1.slr", self.at,
                                      "good.slb"], cwd=self.keys, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            child.send_signal(signal.SIGKILL)
            child.wait()
        if subprocess.run([SLOT, "status", self.at], capture_output=True).returncode != 0:
            self.provision()
        self.assertTrue(self.status()["serves"])

    def test_a_file_without_its_size_is_made_anew(self):
        (self.at / "sl-golden.new").write_bytes(b"begun")
        self.provision()
        self.assertFalse((self.at / "sl-golden.new").exists())

    def test_active_slot_damaged(self):
        self.provision()
        payload_end = (self.keys / "good.slb").stat().st_size
        for offset in (0, 20, 4096 + 3, payload_end // 2, payload_end - 5000):
            with self.subTest(offset=offset):
                before = (self.at / "sl-model-a").read_bytes()
                self.spoil("sl-model-a", offset)
                seen = self.status(status=1)
                self.assertFalse(seen["serves"])
                self.assertFalse(seen["slots"]["sl-model-a"]["authentic"])
                self.assertTrue(seen["slots"]["sl-golden"]["authentic"])
                (self.at / "sl-model-a").write_bytes(before)
        self.status()

    def test_encrypted_for_this_camera(self):
        def provision(*more, status=0):
            return self.slot("provision", "--size=16", "-r", "1.slr", *more, self.at, "secret.slb", status=status)

        self.assertIn("no device key", provision(status=1))
        self.assertIn("not among them", provision("--device-key=cam2", status=1))
        self.assertIn("No such file", provision("--device-key=nobody", status=1))
        self.assertIn("others may read", provision("--device-key=cam1.pub", status=1))
        os.chmod(self.keys / "cam1", 0o644)
        self.assertIn("others may read", provision("--device-key=cam1", status=1))
        os.chmod(self.keys / "cam1", 0o600)
        self.slot("status", self.at, status=1)  # nothing was provisioned so far
        provision("--device-key=cam1")
        self.assertTrue(self.status()["serves"])
        secret = (self.keys / "secret.slb").read_bytes()
        self.assertEqual((self.at / "sl-model-a").read_bytes()[:len(secret)], secret)
        self.assertNotIn((MODEL / "model.yaml").read_bytes()[:64], secret)

    def test_state_areas_erased(self):
        self.provision()
        self.spoil("sl-state-0", 0, bytes(65536))
        self.status()  # the other area
        self.spoil("sl-state-1", 0, bytes(65536))
        self.assertIn("state record", self.slot("status", self.at, status=1))

    def test_storage_that_somebody_else_writes(self):
        self.slot("status", self.at, status=1)
        self.provision("one.slb", status=1)  # makes the parts
        with open(self.at / "sl-model-b", "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertIn("in use", self.provision(status=1))
        self.provision()

    def test_parts_that_are_no_files(self):
        self.provision()
        (self.at / "sl-model-b").unlink()
        self.assertIn("sl-model-b", self.slot("status", self.at, status=1))
        os.mkfifo(self.at / "sl-model-b")
        self.assertIn("sl-model-b", self.slot("status", self.at, status=1))

    def test_usage(self):
        for words in ((), ("steal",), ("status",), ("status", "a", "b"), ("provision", self.at),
                      ("provision", "-r", "1.slr", "--size=0", self.at, "good.slb"),
                      ("provision", "-r", "1.slr", "--size=-1", self.at, "good.slb"),
                      ("status", "--nothing", self.at)):
            self.slot(*words, status=2)
        for words in (("--help",), ("status", "--help"), ("provision", "--help")):
            self.assertIn("sage", self.slot(*words))


if __name__ == "__main__":
    unittest.main()
