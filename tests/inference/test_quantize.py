#!/usr/bin/env python3
"""`sightline model quantize` on the unpruned circuit board model: what it makes, and what it refuses.

The model is made for pictures of 256 x 256, so that the test is short.

Usage: test_quantize.py SIGHTLINE MODEL. Skips without the shared data."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

try:
    import onnx
    from onnx import numpy_helper
    from small_model import small
except ImportError:
    print("skipped: python3-onnx is not installed")
    sys.exit(77)

SIGHTLINE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
SHARED = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", MODEL.parents[2].parent / "shared"))
PICTURES = SHARED / "data/deeppcb/train"


def run(*arguments):
    return subprocess.run([SIGHTLINE, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def quantize(*arguments):
    return run("model", "quantize", *arguments)


def check_onnx(path):
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds, kinds


def makes_a_model(folder):
    made = {}
    for method in ("best", "minmax"):
        out = folder / method
        done = quantize(MODEL, "--calibration", PICTURES, "--pictures", 8, "--out", out, "--method", method, "--json")
        assert done.returncode == 0, done.stderr
        made[method] = json.loads(done.stdout)
        assert made[method]["layers_float"] == 0 and len(made[method]["layers"]) == 10, made
        check_onnx(out / "model.onnx")
        info = json.loads(run("model", "info", out, "--json").stdout)
        assert all(layer["int8"] for layer in info["layers"]), info
        assert (out / "model.onnx").stat().st_size * 3 < (MODEL / "model.onnx").stat().st_size
        assert (out / "model.yaml").read_bytes() == (MODEL / "model.yaml").read_bytes()
    assert made["best"]["output_snr_db"] > made["minmax"]["output_snr_db"] + 3, made
    same = 0.002  # below that both find what the float network finds, and the noise decides
    assert made["best"]["detection_error"] <= max(made["minmax"]["detection_error"], same) < 0.2, made
    again = quantize(folder / "best", "--calibration", PICTURES, "--out", folder / "again")
    assert again.returncode == 0 and "quantised already" in again.stdout, again


def keeps_layers(folder):
    out = folder / "kept"
    done = quantize(MODEL, "--calibration", PICTURES, "--pictures", 8, "--out", out, "--method", "minmax",
                    "--keep-float", "c1,lat", "--json")
    assert done.returncode == 0, done.stderr
    kept = {layer["name"] for layer in json.loads(done.stdout)["layers"] if layer["float"]}
    assert kept == {"c1", "lat"}, kept
    info = json.loads(run("model", "info", out, "--json").stdout)
    assert {layer["name"] for layer in info["layers"] if not layer["int8"]} == {"c1", "lat"}, info


def constants(path):
    network = onnx.load(str(path))
    return [(i.name, numpy_helper.to_array(i).tobytes()) for i in network.graph.initializer]


def goes_on_with_part_of_a_model(folder):
    """`kept` has two layers in float: they become integers, the others stay what they are."""
    kept, out = folder / "kept2", folder / "whole"
    done = quantize(MODEL, "--calibration", PICTURES, "--pictures", 8, "--out", kept, "--method", "minmax",
                    "--keep-float", "c4,h1")
    assert done.returncode == 0, done.stderr
    done = quantize(kept, "--calibration", PICTURES, "--pictures", 8, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert {layer["name"] for layer in made["layers"]} == {"c4", "h1"}, made
    assert made["layers_int8"] == 2 and made["output_snr_db"] > 25, made
    info = json.loads(run("model", "info", out, "--json").stdout)
    assert all(layer["int8"] for layer in info["layers"]) and len(info["layers"]) == 10, info
    check_onnx(out / "model.onnx")
    after = {value for name, value in constants(out / "model.onnx")}
    own = [(name, value) for name, value in constants(kept / "model.onnx") if not name.startswith(("c4", "h1"))]
    changed = [name for name, value in own if value not in after]
    assert len(own) > 20 and not changed, changed
    if os.environ.get("SIGHTLINE_ONNXRUNTIME"):
        done = run("bench", "--model", out, "--against", "onnxruntime", "--seconds", 0.1, "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["outputs_equal"], done


def refused(status, says, out, *arguments):
    done = quantize(*arguments, "--out", out)
    assert done.returncode == status, (arguments, done)
    assert says in done.stderr, (says, done.stderr)
    assert not list(out.parent.glob(out.name + "*")), "nothing may stay"


def refuses(folder):
    out = folder / "none"
    few = folder / "few"
    few.mkdir()
    for path in sorted(PICTURES.glob("*_test.jpg"))[:3]:
        shutil.copy(path, few)
        shutil.copy(str(path).replace("_test", "_temp"), few)
    refused(1, "3 pictures, expected at least 8", out, MODEL, "--calibration", few)
    refused(1, "no pictures", out, MODEL, "--calibration", MODEL)
    refused(1, "No such file", out, MODEL, "--calibration", folder / "nowhere")
    refused(1, "no layer has the name 'c99'", out, MODEL, "--calibration", PICTURES, "--pictures", 8,
            "--keep-float", "c1,c99")
    refused(2, "--method", out, MODEL, "--calibration", PICTURES, "--method", "magic")
    refused(2, "--pictures", out, MODEL, "--calibration", PICTURES, "--pictures", "3")
    refused(2, "expected: MODEL", out, MODEL)
    bare = folder / "bare"
    bare.mkdir()
    shutil.copy(MODEL / "model.onnx", bare)
    refused(1, "no model.yaml", out, bare / "model.onnx", "--calibration", PICTURES)
    (bare / "model.onnx").write_bytes((MODEL / "model.onnx").read_bytes()[:5000])
    refused(1, "model.onnx", out, bare / "model.onnx", "--calibration", PICTURES, "--contract", MODEL / "model.yaml")
    there = quantize(MODEL, "--calibration", PICTURES, "--out", few)
    assert there.returncode == 1 and "there already" in there.stderr, there


def main():
    global MODEL
    if not PICTURES.is_dir():
        print(f"skipped: {PICTURES} is absent")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        MODEL = small(MODEL, folder / "pcb")
        refuses(folder)
        keeps_layers(folder)
        goes_on_with_part_of_a_model(folder)
        makes_a_model(folder)
    return 0


sys.exit(main())
