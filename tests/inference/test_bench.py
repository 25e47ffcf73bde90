#!/usr/bin/env python3
"""`sightline bench --model`: what it prints, what it refuses, and that ONNX Runtime finds the same.

usage: test_bench.py SIGHTLINE
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", ROOT.parent / "shared"))
PCB = ROOT / "deploy/models/pcb"
SIGHTLINE = ""
# What scripts read; the rest may grow.
KEYS = {"model", "threads", "isa", "ours_ms", "gmacs", "ceiling_share"}
PEER_KEYS = {"peer_ms", "ratio", "outputs_equal", "differing_bytes", "max_difference"}


def bench(*arguments, **environment):
    return subprocess.run(
        [SIGHTLINE, "bench", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


def library():
    """The peer's library, or None."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    for path in os.environ.get("SIGHTLINE_ONNXRUNTIME"), f"{data}/sightline/libonnxruntime.so.1":
        if path and os.path.exists(path):
            return path
    return None


class Alone(unittest.TestCase):
    def test_json_has_the_keys(self):
        run = bench("--model", PCB, "--runs", 2, "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        row = json.loads(run.stdout)
        self.assertLessEqual(KEYS, row.keys())
        self.assertFalse(PEER_KEYS & row.keys())
        self.assertEqual(row["runs"], 2)
        self.assertGreater(row["ours_ms"], 0)
        self.assertGreater(row["ceiling_share"], 0)
        self.assertLess(row["ceiling_share"], 1)
        self.assertAlmostEqual(row["gmacs"], row["macs"] / row["ours_ms"] / 1e6, delta=row["gmacs"] * 0.01)

    def test_profile_covers_the_network(self):
        run = bench("--model", PCB, "--runs", 1, "--json", "--profile", "--threads", 2)
        row = json.loads(run.stdout)
        self.assertEqual(row["threads"], 2)
        self.assertEqual(sum(layer["macs"] for layer in row["profile"]), row["macs"])
        self.assertAlmostEqual(sum(layer["share"] for layer in row["profile"]), 1, delta=0.01)

    def test_a_folder_gives_a_line_per_network_in_order(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in "b.onnx", 'a "quoted".onnx':
                shutil.copy(PCB / "model.onnx", f"{folder}/{name}")
            pathlib.Path(folder, "notes.txt").write_text("no network")
            run = bench("--runs", 1, "--json", "--model", folder)
        names = [os.path.basename(json.loads(line)["model"]) for line in run.stdout.splitlines()]
        self.assertEqual(names, ['a "quoted".onnx', "b.onnx"])

    def test_the_environment_caps_the_instruction_set(self):
        row = json.loads(bench("--model", PCB, "--runs", 1, "--json", SIGHTLINE_CPU="c").stdout)
        self.assertEqual(row["isa"], "c")
        row = json.loads(bench("--model", PCB, "--runs", 1, "--json", "--backend", "cpu,isa=c").stdout)
        self.assertEqual(row["isa"], "c")


class Refusals(unittest.TestCase):
    def refused(self, status, words, *arguments, **environment):
        run = bench(*arguments, **environment)
        self.assertEqual(run.returncode, status, run.stderr)
        self.assertEqual(run.stdout, "")
        self.assertIn(words, run.stderr)

    def test_usage(self):
        self.refused(2, "--model", "--runs", 1)
        self.refused(2, "onnxruntime", "--model", PCB, "--against", "ncnn")
        for option, value in [("runs", 0), ("runs", "x"), ("threads", 0), ("threads", 65), ("threads", ""),
                              ("seconds", 0), ("seconds", "nan"), ("seed", -1)]:
            self.refused(2, f"--{option}", "--model", PCB, f"--{option}={value}")

    def test_paths(self):
        self.refused(1, "No such file", "--model", "/nonexistent/model.onnx")
        with tempfile.TemporaryDirectory() as folder:
            self.refused(1, "neither model.yaml nor an .onnx file", "--model", folder)
            os.mkdir(f"{folder}/folder.onnx")
            self.refused(1, "folder.onnx", "--model", f"{folder}/folder.onnx")

    def test_broken_networks(self):
        whole = (PCB / "model.onnx").read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "broken.onnx")
            for content in b"", b"not a network", whole[: len(whole) // 2]:
                path.write_bytes(content)
                self.refused(1, "broken.onnx", "--model", path)

    def test_numbers_that_are_none(self):
        """Scales and weights of a damaged file, each named."""
        import onnx
        from onnx import numpy_helper

        def spoil(source, name, value):
            model = onnx.load(source)
            tensor = next(t for t in model.graph.initializer if t.name == name)
            array = numpy_helper.to_array(tensor).copy()
            array.reshape(-1)[-1] = value
            tensor.CopyFrom(numpy_helper.from_array(array, name))
            path = pathlib.Path(folder, "spoiled.onnx")
            onnx.save(model, path)
            return path

        real = ROOT / "deploy/models/pcb-fp32/model.onnx"
        weight = next(n.input[1] for n in onnx.load(real).graph.node if n.op_type == "Conv")
        with tempfile.TemporaryDirectory() as folder:
            for value in float("nan"), float("inf"), 0, -1, 1e-40, 1e30:
                path = spoil(PCB / "model.onnx", "c3_weight_scale", value)
                self.refused(1, "'c3_weight_scale'", "--model", path)
            for value in float("nan"), float("-inf"):
                path = spoil(real, weight, value)
                self.refused(1, f"of '{weight}'", "--model", path)

    def test_back_ends(self):
        self.refused(1, "abacus", "--model", PCB, "--backend", "abacus")

    def test_no_library(self):
        words = "deploy/fetch-onnxruntime.sh"
        peer = ["--model", PCB, "--against", "onnxruntime", "--runs", 1]
        self.refused(1, words, *peer, SIGHTLINE_ONNXRUNTIME="/nonexistent/library.so")
        self.refused(1, words, *peer, "--onnxruntime", "/nonexistent/library.so")
        self.refused(1, "not a library", *peer, "--onnxruntime", ROOT / "README.md")
        with tempfile.TemporaryDirectory() as home:
            run = bench(*peer, HOME=home, XDG_DATA_HOME="", SIGHTLINE_ONNXRUNTIME="")
        if run.returncode == 0:
            self.skipTest("the system has ONNX Runtime where the linker finds it")
        self.assertIn(words, run.stderr)


@unittest.skipUnless(library(), "no ONNX Runtime: deploy/fetch-onnxruntime.sh fetches it")
class Against(unittest.TestCase):
    def equal(self, path, *arguments, **environment):
        run = bench("--model", path, "--against", "onnxruntime", "--runs", 1, "--json", *arguments, **environment)
        self.assertEqual(run.returncode, 0, run.stderr)
        rows = [json.loads(line) for line in run.stdout.splitlines()]
        self.assertTrue(rows)
        for row in rows:
            with self.subTest(model=row["model"], arguments=arguments, environment=environment):
                self.assertLessEqual(KEYS | PEER_KEYS, row.keys())
                self.assertAlmostEqual(row["ratio"], row["peer_ms"] / row["ours_ms"], delta=row["ratio"] * 0.01)
                self.assertGreater(row["values"], 0)
                self.assertTrue(row["outputs_equal"], row)
                self.assertEqual(row["differing_bytes"], 0)

    def test_shipped_detector(self):
        self.equal(PCB)
        self.equal(PCB, "--seed", 77, "--threads", 2)

    def test_shared_networks(self):
        folder = SHARED / "data/models/int8"
        if not folder.is_dir():
            self.skipTest(f"no {folder}")
        self.equal(folder)

    def test_real_numbers_agree_within_the_tolerance(self):
        run = bench("--model", ROOT / "deploy/models/pcb-fp32", "--against", "onnxruntime", "--runs", 1, "--json")
        self.assertTrue(json.loads(run.stdout)["outputs_equal"], run.stdout)


if __name__ == "__main__":
    SIGHTLINE = sys.argv.pop(1)
    unittest.main()
