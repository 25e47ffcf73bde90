#!/usr/bin/env python3
"""deploy/fetch-onnxruntime.sh with an npm of our own: what it refuses, and that nothing half-done stays behind.

usage: test_fetch_onnxruntime.py
"""

import os
import pathlib
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "deploy/fetch-onnxruntime.sh"
LIBRARY = "libonnxruntime.so.1"

# Packs what PACKED names, for both processors, as the package would hold it.
FAKE_NPM = """#!/bin/bash
[ -n "$PACKED" ] || exit 1
work=$(mktemp -d)
for arch in x64 arm64; do
    mkdir -p "$work/package/bin/napi-v6/linux/$arch"
    cp "$PACKED" "$work/package/bin/napi-v6/linux/$arch/$NAME"
done
tar -C "$work" -cf - package | gzip -1 >onnxruntime-node-1.30.0.tgz
rm -rf "$work"
"""


class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        self.target = self.root / "target"
        (self.root / "bin").mkdir()
        npm = self.root / "bin/npm"
        npm.write_text(FAKE_NPM)
        npm.chmod(0o755)

    def fetch(self, *arguments, packed="", name=LIBRARY):
        environment = {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "HOME": str(self.root),
            "PACKED": str(packed),
            "NAME": name,
        }
        return subprocess.run([SCRIPT, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False)

    def refused(self, status, words, *arguments, **packed):
        run = self.fetch(*arguments, **packed)
        self.assertEqual(run.returncode, status, run)
        self.assertIn(words, run.stderr)
        if self.target.exists():
            self.assertEqual([p.name for p in self.target.iterdir() if p.name != LIBRARY], [])

    def test_usage(self):
        self.refused(2, "unknown option", "--everything")
        self.refused(2, "unexpected", self.target, "another")
        self.refused(1, "x64 and arm64", "--arch", "mips", self.target)
        self.assertIn("usage", self.fetch("--help").stdout)

    def test_npm_fails(self):
        self.refused(1, "npm could not fetch", self.target)

    def test_a_package_without_the_library(self):
        self.refused(1, "no library", self.target, packed=SCRIPT, name="other.so")

    def test_another_library_leaves_the_old_one(self):
        self.target.mkdir()
        (self.target / LIBRARY).write_text("old")
        self.refused(1, "not the one that was expected", self.target, packed=SCRIPT)
        self.assertEqual((self.target / LIBRARY).read_text(), "old")

    def test_the_right_library(self):
        real = os.environ.get("SIGHTLINE_ONNXRUNTIME", "")
        if not os.path.exists(real):
            self.skipTest("SIGHTLINE_ONNXRUNTIME names no library")
        run = self.fetch(packed=real)
        if "not the one that was expected" in run.stderr:
            self.skipTest("the library is of another version")
        fetched = self.root / ".local/share/sightline" / LIBRARY
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(fetched.stat().st_size, os.path.getsize(real))
        again = self.fetch()  # npm would fail now
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertIn("already", again.stdout)


if __name__ == "__main__":
    unittest.main()
