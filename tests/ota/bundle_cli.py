#!/usr/bin/python3
"""`sightline bundle` as its users meet it: from keys to a signed bundle, and what it refuses.
Usage: bundle_cli.py SIGHTLINE."""

import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TOOL = pathlib.Path(sys.argv.pop(1)).resolve()
MODEL = SOURCE / "deploy/models/pcb"
ID = "11" * 32


class Folder(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.at = pathlib.Path(self.place.name)
        self.addCleanup(self.place.cleanup)

    def run_tool(self, *arguments, status=0):
        done = subprocess.run([TOOL, "bundle", *map(str, arguments)], cwd=self.at, text=True,
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        if status:
            self.assertTrue(done.stderr or done.stdout)
        return done.stdout

    def refused(self, *arguments):
        return json.loads(self.run_tool("verify", "--json", *arguments, status=1))["refusal"]

    def files(self):
        return sorted(path.name for path in self.at.iterdir())

    def make_root(self):
        self.run_tool("keygen", "r1", "r2", "r3", "r4", "a", "b", "site")
        self.run_tool("rotate", "-o", "1.slr", "--root-key=r1.pub", "--root-key=r2.pub",
                      "--root-key=r3.pub", "--release-key=a.pub", "--release-key=b.pub",
                      "--release-threshold=2", "--site-key=site.pub", "-k", "r1", "-k", "r2")

    def make_bundle(self, *more):
        return self.run_tool("create", "-n", "1.7", "-h", "cam-hd", "-c", "1.slr", "-o", "m.slb",
                             *more, MODEL).strip()


class Keys(Folder):
    def test_files_have_the_right_mode_and_are_never_replaced(self):
        self.run_tool("keygen", "k")
        self.assertEqual((self.at / "k").stat().st_mode & 0o777, 0o600)
        before = (self.at / "k").read_bytes(), (self.at / "k.pub").read_bytes()
        self.run_tool("keygen", "k", status=1)
        (self.at / "k").unlink()
        self.run_tool("keygen", "k", status=1)  # would not fit to k.pub
        self.assertEqual((self.at / "k.pub").read_bytes(), before[1])
        self.assertEqual(self.files(), ["k.pub"])

    def test_secret_that_others_can_read(self):
        self.make_root()
        self.make_bundle()
        (self.at / "a").chmod(0o640)
        before = (self.at / "m.slb").read_bytes()
        self.run_tool("sign", "-k", "a", "m.slb", status=1)
        self.assertEqual((self.at / "m.slb").read_bytes(), before)

    def test_key_files_that_are_none(self):
        self.make_root()
        self.make_bundle()
        good = (self.at / "a").read_text()
        for text in ("", "x", good[:-1], good + "\n", good.replace("secret", "public"),
                     good[:-3] + "zz\n", (self.at / "a.pub").read_text(), "a" * 5000):
            (self.at / "bad").write_text(text)
            (self.at / "bad").chmod(0o600)
            self.run_tool("sign", "-k", "bad", "m.slb", status=1)
        self.run_tool("sign", "-k", "none", "m.slb", status=1)


class Encryption(Folder):
    def setUp(self):
        super().setUp()
        self.make_root()
        self.run_tool("keygen", "cam1", "cam2", "cam3")

    def test_for_two_cameras(self):
        plain = self.make_bundle("-k", "a", "-k", "b")
        before = (self.at / "m.slb").read_bytes()
        first = self.make_bundle("-k", "a", "-k", "b", "--encrypt-for=cam2.pub", "--encrypt-for=cam1.pub")
        after = (self.at / "m.slb").read_bytes()
        yaml = (MODEL / "model.yaml").read_bytes()
        self.assertIn(yaml, before)
        self.assertNotIn(yaml[:40], after)
        again = self.make_bundle("-k", "a", "-k", "b", "--encrypt-for=cam2.pub", "--encrypt-for=cam1.pub")
        self.assertEqual(len({plain, first, again}), 3)  # another content key each time
        self.run_tool("verify", "-r", "1.slr", "m.slb")
        self.run_tool("verify", "-r", "1.slr", "--device-key=cam1", "m.slb")
        self.run_tool("verify", "-r", "1.slr", "--device-key=cam2", "m.slb")
        self.assertEqual(self.refused("-r", "1.slr", "--device-key=cam3", "m.slb"), "key")
        self.assertEqual(self.refused("-r", "1.slr", "--device-key=cam1.pub", "m.slb"), "key")
        shown = json.loads(self.run_tool("show", "--json", "m.slb"))
        self.assertEqual(shown["encrypted_for"], 2)
        self.assertIn("for 2 cameras", self.run_tool("show", "m.slb"))

    def test_keys_that_do_not_do(self):
        (self.at / "odd.pub").write_text("sightline-public-key ed25519 " + "00" * 32 + "\n")
        for key in ("cam1", "none.pub", "odd.pub"):
            self.run_tool("create", "-n", "1.7", "-h", "cam-hd", "-o", "x.slb", f"--encrypt-for={key}", MODEL, status=1)
        self.run_tool("create", "-n", "1.7", "-h", "cam-hd", "-o", "x.slb", "--encrypt-for=cam1.pub",
                      "--encrypt-for=cam1.pub", MODEL, status=1)
        self.assertNotIn("x.slb", self.files())


class Bundles(Folder):
    def setUp(self):
        super().setUp()
        self.make_root()

    def test_from_directory_to_accepted(self):
        name = self.make_bundle("-k", "a")
        self.assertEqual(self.refused("-r", "1.slr", "m.slb"), "threshold")
        self.run_tool("sign", "-k", "b", "m.slb")
        seen = json.loads(self.run_tool("verify", "-r", "1.slr", "--json", "m.slb"))
        self.assertEqual((seen["id"], seen["verified"], seen["root"]), (name, True, 1))
        self.assertEqual((seen["epoch"], seen["seq"], seen["product"]), (1, 7, "pcb"))
        for component in seen["components"]:
            content = (MODEL / component["name"]).read_bytes()
            self.assertEqual(component["octets"], len(content))
            self.assertEqual(component["sha256"], hashlib.sha256(content).hexdigest())
        self.assertIn("golden/000000_test.jpg", [c["name"] for c in seen["components"]])
        second = subprocess.run(
            [sys.executable, SOURCE / "tests/ota/bundle_reader.py", "--read", self.at / "1.slr",
             self.at / "m.slb"], capture_output=True, text=True, check=True).stdout
        self.assertTrue(second.startswith(f"ok {name} root 1, 15 components"), second)
        self.assertEqual([f for f in self.files() if f.startswith("m.slb")], ["m.slb"])

    def test_the_same_input_makes_the_same_bundle(self):
        self.make_bundle("-k", "a", "-k", "b")
        first = (self.at / "m.slb").read_bytes()
        self.make_bundle("-k", "b")
        self.run_tool("sign", "-k", "a", "-k", "a", "m.slb")  # the same key twice counts once
        self.assertEqual((self.at / "m.slb").read_bytes(), first)

    def test_policy(self):
        name = self.make_bundle("-k", "a", "-k", "b", "--floor=1.2")
        good = ["-r", "1.slr", "-h", "cam-hd", "-p", "pcb", "-t", "float32:nchw:1x2x640x640",
                "-f", "1.7"]
        self.run_tool("verify", *good, "m.slb")
        for option, value, word in (("-h", "cam-4k", "hardware"), ("-p", "cap", "product"),
                                    ("-t", "float32:nchw:1x2x640x641", "tensor"),
                                    ("-t", "int8:nchw:1x2x640x640", "tensor"),
                                    ("-f", "1.8", "old"), ("-f", "2.0", "old"),
                                    ("--deny", name, "denied")):
            with self.subTest(option=option, value=value):
                self.assertEqual(self.refused(*good, option, value, "m.slb"), word)

    def test_clock_decides_nothing(self):
        self.make_bundle("-k", "a", "-k", "b")
        if shutil.which("faketime"):
            for date in ("1970-01-02", "2100-01-01"):
                subprocess.run(["faketime", date, TOOL, "bundle", "verify", "-r", "1.slr", "m.slb"],
                               cwd=self.at, check=True, stdout=subprocess.DEVNULL)
        for stamp in (0, 4102444800):
            for path in self.at.iterdir():
                os.utime(path, (stamp, stamp))
            self.run_tool("verify", "-r", "1.slr", "m.slb")

    def test_catalog(self):
        name = self.make_bundle("-k", "a", "-k", "b")
        self.run_tool("catalog", "-n", "1", "-p", "pcb", "-f", "1.7", "-r", ID, "-k", "a", "-o",
                      "c.slc")
        self.assertEqual(self.refused("-r", "1.slr", "c.slc"), "threshold")
        self.assertEqual(self.refused("-r", "1.slr", "-C", "c.slc", "m.slb"), "threshold")
        self.run_tool("sign", "-k", "b", "c.slc")
        self.run_tool("verify", "-r", "1.slr", "-C", "c.slc", "m.slb")
        for options, word in ((["-f", "1.8"], "old"), (["-r", name], "denied")):
            self.run_tool("catalog", "-n", "2", "-p", "pcb", *options, "-k", "a", "-k", "b", "-o",
                          "c.slc")
            self.assertEqual(self.refused("-r", "1.slr", "-C", "c.slc", "m.slb"), word)
        self.assertLessEqual((self.at / "c.slc").stat().st_size, 4096)

    def test_order(self):
        name = self.make_bundle()
        self.run_tool("order", "-n", "3", "-p", "pcb", "-b", name, "-c", "cam1", "-w", "at-once",
                      "-d", "1.1", "-k", "site", "-o", "o.slo")
        seen = json.loads(self.run_tool("verify", "-r", "1.slr", "-j", "--camera=cam1", "o.slo"))
        self.assertEqual((seen["bundle"], seen["when"], seen["downgrade_seq"], seen["cameras"]),
                         (name, "at-once", 1, ["cam1"]))
        self.assertEqual(self.refused("-r", "1.slr", "--camera=cam2", "o.slo"), "camera")
        self.run_tool("order", "-n", "3", "-p", "pcb", "-b", name, "-k", "a", "-o", "o.slo")
        self.assertEqual(self.refused("-r", "1.slr", "o.slo"), "threshold")

    def test_rotation(self):
        self.run_tool("rotate", "-P", "1.slr", "--root-key=r2.pub", "--root-key=r3.pub",
                      "--root-key=r4.pub", "-k", "r1", "-k", "r4", "-o", "2.slr")
        self.assertEqual(self.refused("-r", "1.slr", "2.slr"), "threshold")
        self.run_tool("sign", "-k", "r2", "2.slr")
        self.run_tool("verify", "-r", "1.slr", "2.slr")
        self.run_tool("rotate", "-P", "2.slr", "--release-key=site.pub", "--release-threshold=1",
                      "-k", "r3", "-k", "r4", "-o", "3.slr")
        self.assertEqual(self.refused("-r", "1.slr", "3.slr"), "root")  # a gap
        self.run_tool("verify", "-r", "1.slr", "-c", "2.slr", "3.slr")
        self.make_bundle("-c", "2.slr", "-c", "3.slr", "-k", "site")
        self.run_tool("verify", "-r", "1.slr", "m.slb")
        self.run_tool("verify", "-r", "3.slr", "m.slb")
        self.run_tool("create", "-n", "1.7", "-h", "x", "-c", "1.slr", "-c", "3.slr", "-o", "x.slb",
                      MODEL, status=1)
        shutil.copy(self.at / "m.slb", self.at / "old.slb")
        self.make_bundle("-k", "a", "-k", "b")  # by keys that root 3 has dropped
        self.run_tool("verify", "-r", "1.slr", "m.slb")
        self.assertEqual(self.refused("-r", "3.slr", "m.slb"), "threshold")
        self.assertEqual(self.refused("-r", "1.slr", "-c", "2.slr", "-c", "3.slr", "m.slb"),
                         "threshold")

    def test_roots_that_are_refused(self):
        for options in (["--root-key=r1.pub", "--release-key=a.pub"],
                        ["--root-key=r1.pub", "--root-key=r1.pub", "--release-key=a.pub"],
                        ["--root-key=r1.pub", "--root-key=r2.pub", "--root-threshold=1",
                         "--release-key=a.pub"],
                        ["--root-key=r1.pub", "--root-key=r2.pub", "--release-key=a.pub",
                         "--release-threshold=2"]):
            self.run_tool("rotate", "-o", "x.slr", *options, status=1)
        self.assertNotIn("x.slr", self.files())


class Input(Folder):
    def setUp(self):
        super().setUp()
        self.make_root()
        shutil.copytree(MODEL, self.at / "model")
        self.before = self.files()

    def create(self, *more, status=1):
        done = self.run_tool("create", "-n", "1.1", "-h", "x", "-o", "x.slb", *more, "model",
                             status=status)
        if status:
            self.assertEqual(self.files(), self.before)  # no half file
        return done

    def edit(self, old, new):
        path = self.at / "model/model.yaml"
        path.write_text(path.read_text().replace(old, new))

    def test_directory_without_a_file_that_is_named(self):
        (self.at / "model/golden/000001.expect").unlink()
        self.create()

    def test_empty_file(self):
        (self.at / "model/model.onnx").write_bytes(b"")
        self.create()

    def test_more_than_two_gibibytes(self):
        os.truncate(self.at / "model/model.onnx", (2 << 30) + 1)  # sparse
        self.create()

    def test_paths_out_of_the_directory(self):
        for name in ("../r1", "/etc/passwd", "golden/../../r1", "a b.onnx", "x" * 200):
            self.edit("network: model.onnx", f"network: '{name}'")
            self.create()
            self.edit(f"network: '{name}'", "network: model.onnx")
        self.create(status=0)

    def test_yaml_that_is_none(self):
        for text in ("", "[", "a: b", "name: x\nversion: y\nnetwork: z\n", "- 1", "\x00", "&a [*a]"):
            (self.at / "model/model.yaml").write_text(text)
            self.create()
        (self.at / "model/model.yaml").unlink()
        self.create()

    def test_other_options_are_in_the_bundle(self):
        self.create("-p", "other", "--model-version=9", "--floor=1.0", "--overlap=0.5",
                    "--latency-ms=20", "--memory-mib=64", "--tensor=uint8:nhwc:1x4x5x3", status=0)
        seen = json.loads(self.run_tool("show", "--json", "x.slb"))
        self.assertEqual((seen["verified"], seen["product"], seen["version"], seen["tensor"]),
                         (False, "other", "9", "uint8:nhwc:1x4x5x3"))
        self.assertEqual((seen["limits"]["overlap"], seen["claims"]["latency_ms"],
                          seen["claims"]["memory"]), (0.5, 20, 64 << 20))
        self.assertIn("signatures not checked", self.run_tool("show", "x.slb"))

    def test_output_that_cannot_be(self):
        self.run_tool("create", "-n", "1.1", "-h", "x", "-o", "none/x.slb", "model", status=1)
        (self.at / "d").mkdir()
        self.run_tool("create", "-n", "1.1", "-h", "x", "-o", "d", "model", status=1)
        self.assertEqual(self.files(), sorted(self.before + ["d"]))

    def test_output_over_what_is_no_file(self):
        os.mkfifo(self.at / "pipe")
        (self.at / "link").symlink_to("pipe")
        key = (self.at / "a").read_bytes()
        for out in ("pipe", "link", "a"):
            with self.subTest(out=out):
                self.run_tool("catalog", "-n", "1", "-p", "x", "-k", "b", "-o", out, status=1)
        self.assertTrue(stat.S_ISFIFO((self.at / "pipe").stat().st_mode))
        self.assertTrue((self.at / "link").is_symlink())
        self.assertEqual((self.at / "a").read_bytes(), key)

    def test_usage(self):
        for words in ([], ["nothing"], ["create"], ["create", "model"], ["verify", "x"], ["sign"],
                      ["create", "-n", "1", "-h", "x", "-o", "x", "model"],
                      ["create", "-n", "1.-1", "-h", "x", "-o", "x", "model"],
                      ["create", "-n", "4294967296.1", "-h", "x", "-o", "x", "model"],
                      ["create", "-n", "1.18446744073709551616", "-h", "x", "-o", "x", "model"],
                      ["create", "-n", "1.1", "-h", "a b", "-o", "x", "model"],
                      ["create", "-n", "1.1", "-h", "x", "-o", "x", "--floor=1.2", "model"],
                      ["create", "-n", "1.1", "-h", "x", "-o", "x", "--score=2", "model"],
                      ["create", "-n", "1.1", "-h", "x", "-o", "x", "-t", "float32:nchw:", "model"],
                      ["catalog", "-n", "0", "-p", "x", "-o", "x"],
                      ["catalog", "-n", "1", "-p", "x", "-o", "x", "-r", "12"],
                      ["order", "-n", "1", "-p", "x", "-o", "x"], ["rotate", "-o", "x"],
                      ["order", "-n", "1", "-p", "x", "-o", "x", "-b", ID, "-w", "soon"],
                      ["keygen"], ["show"], ["show", "a", "b"]):
            with self.subTest(words=words):
                self.run_tool(*words, status=2)
        self.assertEqual(self.files(), self.before)

    def test_files_that_are_none(self):
        (self.at / "bad").write_bytes(b"SLBUNDL1")
        (self.at / "empty").write_bytes(b"")
        (self.at / "cut").write_bytes((self.at / "1.slr").read_bytes()[:-1])
        os.mkfifo(self.at / "pipe")
        for name in ("bad", "empty", "cut", "none", "model", "r1", "pipe"):
            with self.subTest(name=name):
                self.run_tool("show", name, status=1)
                self.run_tool("verify", "-r", "1.slr", name, status=1)
                self.run_tool("verify", "-r", name, "1.slr", status=1)
                self.run_tool("sign", "-k", "a", name, status=1)
        self.run_tool("sign", "-k", "pipe", "1.slr", status=1)


if __name__ == "__main__":
    unittest.main()
