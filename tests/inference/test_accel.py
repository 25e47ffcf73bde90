#!/usr/bin/env python3
"""sightline accel: lists, tests and times back ends, and says what is wrong.

usage: test_accel.py SIGHTLINE MODEL
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL, MODEL = "", ""


def accel(*arguments, **environment):
    return subprocess.run(
        [TOOL, "accel", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def rows(text):
    return [json.loads(line) for line in text.splitlines()]


class List(unittest.TestCase):
    def test_names_and_devices(self):
        listed = {row["backend"]: row for row in rows(accel("list", "--json").stdout)}
        self.assertEqual(listed["cpu"]["device"], "0")
        self.assertIn("kernels up to", listed["cpu"]["description"])
        self.assertIn("onnxruntime", listed)
        self.assertIn("cpu", accel("list").stdout)

    def test_a_back_end_that_cannot_be_used_says_why(self):
        done = accel("list", "--json", SIGHTLINE_ONNXRUNTIME="/nonexistent/lib.so")
        self.assertEqual(done.returncode, 0)
        problem = next(r for r in rows(done.stdout) if r["backend"] == "onnxruntime")["problem"]
        self.assertIn("/nonexistent/lib.so", problem)


class Test(unittest.TestCase):
    def test_golden_pictures(self):
        done = accel("test", "--model", MODEL, "--backend", "cpu", "--backend", "cpu,isa=c")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count(" ok, 4 golden pictures"), 2, done.stdout)

    def test_a_wrong_back_end_fails(self):
        """Other numbers than the CPU's do not pass."""
        wrong = "fault:cpu,fault.script=wait@*:wrong"
        done = accel("test", "--model", MODEL, "--json", "-b", "cpu", "-b", wrong)
        self.assertEqual(done.returncode, 1)
        good, bad = rows(done.stdout)
        self.assertTrue(good["ok"])
        self.assertFalse(bad["ok"])
        self.assertTrue(bad["problem"])

    def test_unknown_back_end(self):
        done = accel("test", "--model", MODEL, "--backend", "npu")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no back end 'npu', there are: cpu", done.stdout)


class Bench(unittest.TestCase):
    def test_table(self):
        done = accel(
            "bench", "-m", MODEL, "-b", "cpu", "-b", "cpu,isa=c", "-s", "0.1", "--json"
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        first, second = rows(done.stdout)
        self.assertEqual(first["overhead_us"], 0)
        self.assertTrue(second["outputs_same"])
        self.assertGreaterEqual(second["runs"], 5)
        self.assertLessEqual(second["min_ms"], second["median_ms"])
        self.assertLessEqual(second["median_ms"], second["p99_ms"])

    def test_other_outputs_show(self):
        wrong = "fault:cpu,fault.script=wait@*:wrong"
        done = accel("bench", "-m", MODEL, "-b", "cpu", "-b", wrong, "-s", "0.1")
        self.assertIn("OTHER", done.stdout)

    def test_one_that_fails_leaves_the_others(self):
        done = accel("bench", "-m", MODEL, "-b", "npu", "-b", "cpu", "-s", "0.1", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no back end 'npu'", done.stderr)
        self.assertEqual([row["backend"] for row in rows(done.stdout)], ["cpu"])

    def test_a_run_that_fails(self):
        done = accel("bench", "-m", MODEL, "-b", "fault:cpu,fault.script=wait@6:fail", "-s", "0.1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("fault:cpu", done.stderr)


class Refusals(unittest.TestCase):
    def test_usage(self):
        for arguments in (
            [],
            ["frobnicate"],
            ["list", "test"],
            ["test"],
            ["bench"],
            ["bench", "-m", "x", "-s", "0"],
            ["bench", "-m", "x", "-s", "nan"],
            ["bench", "-m", "x", "-s", "1x"],
            ["test", "-m", "x"] + ["-b", "cpu"] * 17,
        ):
            with self.subTest(arguments=arguments):
                self.assertEqual(accel(*arguments).returncode, 2)

    def test_models(self):
        with tempfile.TemporaryDirectory() as folder:
            for verb in ("test", "bench"):
                for path in ("/nonexistent", folder):
                    with self.subTest(verb=verb, path=path):
                        done = accel(verb, "-m", path, "-b", "cpu")
                        self.assertEqual(done.returncode, 1)
                        self.assertIn(path, done.stderr)
            broken = pathlib.Path(folder, "broken.onnx")
            broken.write_bytes(b"no model")
            self.assertEqual(accel("bench", "-m", str(broken), "-b", "cpu").returncode, 1)


if __name__ == "__main__":
    MODEL = sys.argv.pop()
    TOOL = sys.argv.pop()
    unittest.main(verbosity=2)
