#!/usr/bin/env python3
"""`sightline model convert`: weights in fewer bytes, and what is refused.

Usage: test_convert.py SIGHTLINE MODEL."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

SIGHTLINE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
BOARDS = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", MODEL.parents[2].parent / "shared")) / "data/deeppcb"


def convert(*arguments):
    return subprocess.run([SIGHTLINE, "model", "convert", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120)


def check_onnx(path):
    try:
        import onnx
    except ImportError:
        print("python3-onnx is not installed: the file was not given to the ONNX checker")
        return
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)


def layers(model):
    done = subprocess.run([SIGHTLINE, "model", "info", str(model), "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [(layer["name"], layer["macs"], layer["output"]) for layer in json.loads(done.stdout)["layers"]]


def makes_smaller_files(folder):
    before = (MODEL / "model.onnx").stat().st_size
    for form, least, most in (("fp32", 0.9, 1.1), ("fp16", 0.45, 0.6), ("int4", 0.1, 0.25)):
        out = folder / form
        done = convert(MODEL, "--weights", form, "--out", out, "--json")
        assert done.returncode == 0, done.stderr
        made = json.loads(done.stdout)
        size = (out / "model.onnx").stat().st_size
        assert made["bytes"] == size and made["bytes_before"] == before and made["weights"] == form, made
        assert least < size / before < most, (form, size, before)
        check_onnx(out / "model.onnx")
        assert layers(out) == layers(MODEL)
        assert (out / "model.yaml").read_bytes() == (MODEL / "model.yaml").read_bytes()


def f_score(model):
    done = subprocess.run([SIGHTLINE, "eval", "--model", model, "--dataset", BOARDS / "test", "--limit", "24", "--json"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["f1"]


def fits_levels_to_pictures(folder):
    if not BOARDS.is_dir():
        print(f"{BOARDS} is absent: rounding on pictures was not tried")
        return
    out = folder / "fitted"
    done = convert(MODEL, "--weights", "int4", "--calibration", BOARDS / "train", "--pictures", 8, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["layers"] == 10 and made["layers_compensated"] > 5 and made["output_snr_db"] > 20, made
    assert made["bytes"] == (folder / "int4/model.onnx").stat().st_size
    check_onnx(out / "model.onnx")
    assert layers(out) == layers(MODEL)
    assert f_score(out) > f_score(folder / "int4") + 0.1, (f_score(out), f_score(folder / "int4"))


def refused(status, says, out, *arguments):
    done = convert(*arguments, "--out", out)
    assert done.returncode == status and says in done.stderr, (arguments, done)
    assert not list(out.parent.glob(out.name + "*")), "nothing may stay"


def refuses(folder):
    out = folder / "none"
    refused(2, "found 'int3'", out, MODEL, "--weights", "int3")
    refused(2, "expected: MODEL", out, MODEL)
    refused(2, "goes with --weights int4", out, MODEL, "--weights", "fp16", "--calibration", folder)
    refused(2, "--pictures goes with --calibration", out, MODEL, "--weights", "int4", "--pictures", 16)
    refused(1, "no pictures", out, MODEL, "--weights", "int4", "--calibration", MODEL)
    refused(1, "No such file", out, folder / "nowhere", "--weights", "fp16")
    broken = folder / "broken.onnx"
    broken.write_bytes((MODEL / "model.onnx").read_bytes()[:5000])
    refused(1, "broken.onnx", out, broken, "--weights", "fp16", "--contract", MODEL / "model.yaml")
    there = convert(MODEL, "--weights", "fp16", "--out", folder)
    assert there.returncode == 1 and "there already" in there.stderr, there


with tempfile.TemporaryDirectory() as name:
    refuses(pathlib.Path(name))
    makes_smaller_files(pathlib.Path(name))
    fits_levels_to_pictures(pathlib.Path(name))
