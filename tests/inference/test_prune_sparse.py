#!/usr/bin/env python3
"""`sightline model prune --sparse` on the unpruned circuit board model: what it makes, and what it refuses.

The model is made for pictures of 256 x 256, so that the test is short.
Usage: test_prune_sparse.py SIGHTLINE MODEL. Skips without the shared data or python3-onnx."""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

try:
    from small_model import small
except ImportError:
    print("skipped: python3-onnx is not installed")
    sys.exit(77)

SIGHTLINE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
SHARED = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", MODEL.parents[2].parent / "shared"))
PICTURES = SHARED / "data/deeppcb/train"
SHIPPED = MODEL.parent / "pcb"
FEW = ("--calibration", PICTURES, "--pictures", 8)
SPARSE = ("--sparse", "16x8", "--sparsity")


def run(*arguments, **more):
    return subprocess.run([SIGHTLINE, *map(str, arguments)], capture_output=True, text=True, timeout=600, **more)


def prune(*arguments):
    return run("model", "prune", *arguments)


def layers_of(model):
    return {layer["name"]: layer for layer in json.loads(run("model", "info", model, "--json").stdout)["layers"]}


def check_onnx(path):
    """The ONNX checker, and that zeros of the pattern 16x8 come in blocks of it."""
    try:
        import numpy
        import onnx
        from onnx import numpy_helper
    except ImportError:
        print("python3-onnx is not installed: the file was not given to the ONNX checker")
        return
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    weights = [numpy_helper.to_array(t) for t in model.graph.initializer if len(t.dims) == 4]
    zeros = 0
    for w in weights:
        for o in range(0, w.shape[0], 16):
            for i in range(0, w.shape[1], 8):
                gone = (w[o:o + 16, i:i + 8] == 0).reshape(-1, *w.shape[2:])
                assert (gone.all(axis=0) == gone.any(axis=0)).all(), (w.shape, o, i)
                zeros += numpy.count_nonzero(gone)
    assert zeros * 8 > sum(w.size for w in weights), zeros


def makes_zeros(folder):
    out = folder / "sparse"
    done = prune(MODEL, *FEW, *SPARSE, "30%", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert 0.3 <= made["sparsity"] < 0.32, made["sparsity"]
    check_onnx(out / "model.onnx")
    for layer in made["layers"]:
        assert abs(layers_of(out)[layer["name"]]["zero_share"] - layer["zero_share"]) < 1e-5, layer
    return out


def quantising_keeps_them(sparse, folder):
    out = folder / "int8"
    done = run("model", "quantize", sparse, *FEW, "--keep-float", "0", "--out", out)
    assert done.returncode == 0, done.stderr
    before, after = layers_of(sparse), layers_of(out)
    for name, layer in after.items():
        assert layer["int8"] and layer["zero_share"] >= before[name]["zero_share"] - 1e-6, (before[name], layer)
    # AMX multiplies whole tiles, of which none is zero here.
    cap = {"SIGHTLINE_CPU": "avx512vnni"} if platform.machine() == "x86_64" else {}
    text = run("model", "info", out, env=os.environ | cap).stdout
    left_out = float(text.split("engine: ")[1].split()[0])
    assert left_out > 9, text  # of 91 MMAC: how much depends on the machine's kernels


def refused(status, says, out, *arguments):
    done = prune(*arguments, "--out", out)
    assert done.returncode == status, (arguments, done)
    assert says in done.stderr, (says, done.stderr)
    assert not list(out.parent.glob(out.name + "*")), "nothing may stay"


def refuses(folder):
    out = folder / "none"
    for share in ("0", "100%", "1", "-5%", "many", "50%%"):
        refused(2, f"found '{share}'", out, MODEL, *FEW, *SPARSE, share)
    for pattern in ("16", "0x4", "128x1"):
        refused(2, f"found '{pattern}'", out, MODEL, *FEW, "--sparsity", "50%", "--sparse", pattern)
    refused(2, "--importance", out, MODEL, *FEW, *SPARSE, "50%", "--importance", "luck")
    refused(2, "expected: MODEL", out, MODEL, *FEW, "--sparse", "16x8")
    refused(2, "expected: MODEL", out, MODEL, *FEW, "--sparsity", "50%")
    refused(2, "that choose channels", out, MODEL, *FEW, *SPARSE, "50%", "--granule", "8")
    refused(1, "quantised", out, SHIPPED, *FEW, *SPARSE, "50%")
    few = folder / "few"
    few.mkdir()
    for path in sorted(PICTURES.glob("*_test.jpg"))[:3]:
        shutil.copy(path, few)
        shutil.copy(str(path).replace("_test", "_temp"), few)
    refused(1, "3 pictures, expected at least 8", out, MODEL, "--calibration", few, *SPARSE, "50%")
    there = prune(MODEL, *FEW, *SPARSE, "50%", "--out", few)
    assert there.returncode == 1 and "there already" in there.stderr, there


def main():
    if not PICTURES.is_dir():
        print(f"skipped: {PICTURES} is absent")
        return 77
    with tempfile.TemporaryDirectory() as name:
        global MODEL
        folder = pathlib.Path(name)
        MODEL = small(MODEL, folder / "model")
        refuses(folder)
        quantising_keeps_them(makes_zeros(folder), folder)
    return 0


sys.exit(main())
