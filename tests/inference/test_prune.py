#!/usr/bin/env python3
"""`sightline model prune` on the unpruned circuit board model: what it makes, and what it refuses.

The model is made for pictures of 256 x 256, so that the test is short.
Usage: test_prune.py SIGHTLINE MODEL. Skips without the shared data or python3-onnx."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import onnx
    from small_model import small
except ImportError:
    print("skipped: python3-onnx is not installed")
    sys.exit(77)

SIGHTLINE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
SHARED = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", MODEL.parents[2].parent / "shared"))
PICTURES = SHARED / "data/deeppcb/train"
SHIPPED = MODEL.parent / "pcb"


def run(*arguments):
    return subprocess.run([SIGHTLINE, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def prune(out, *arguments):
    return run("model", "prune", MODEL, "--calibration", PICTURES, "--pictures", 8, "--out", out, "--steps", 0, *arguments)


def check_onnx(path):
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)


def mean_ap(model):
    done = run("eval", "--model", model, "--dataset", SHARED / "data/deeppcb/test", "--limit", 12, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["map"]


def agrees_with_onnx_runtime(model):
    if not os.environ.get("SIGHTLINE_ONNXRUNTIME"):
        print("ONNX Runtime is not there: outputs were not compared with its")
        return
    done = run("bench", "--model", model, "--against", "onnxruntime", "--seconds", 0.1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outputs_equal"], done.stdout


def makes_a_model(folder):
    out = folder / "small"
    done = prune(out, "--target-macs", "80%", "--granule", 4, "--steps", 120, "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["tuned"] and made["held_out_loss"] < made["held_out_loss_before"], made
    assert 0.7 < made["macs"] / made["macs_before"] <= 0.8, made
    assert all(layer["outputs"] % 4 == 0 for layer in made["layers"] if "whole_for" not in layer), made
    assert {layer["name"] for layer in made["layers"] if "whole_for" in layer} == {"cls_logits", "box_ltrb"}, made
    check_onnx(out / "model.onnx")
    info = json.loads(run("model", "info", out, "--json").stdout)
    assert info["macs"] == made["macs"] and info["unpruned_macs"] == made["macs_before"], info
    agrees_with_onnx_runtime(out)
    naive = folder / "naive"
    done = prune(naive, "--target-macs", "80%", "--granule", 4, "--importance", "magnitude", "--no-refit", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output_snr_db"] + 6 < made["output_snr_db"], (done.stdout, made)
    assert mean_ap(naive) < mean_ap(out), "refitting and tuning gain nothing"


def follows_measured_time(folder):
    profile = folder / "profile.json"
    done = run("bench", "--model", MODEL, "--seconds", 0.1, "--profile", "--json")
    assert done.returncode == 0, done.stderr
    profile.write_text(done.stdout)
    done = prune(folder / "fast", "--target-time", "80%", "--profile", profile, "--no-refit", "--importance",
                 "magnitude", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["us"] <= 0.8 * made["us_before"], made


def refused(status, says, out, *arguments):
    done = prune(out, *arguments)
    assert done.returncode == status, (arguments, done)
    assert says in done.stderr, (says, done.stderr)
    assert not list(out.parent.glob(out.name + "*")), "nothing may stay"


def refuses(folder):
    out = folder / "none"
    refused(2, "--target-macs", out, "--target-macs", "150%")
    refused(2, "expected: MODEL", out)
    refused(2, "--granule", out, "--target-macs", "50%", "--granule", "0")
    refused(1, "is the most", out, "--target-macs", "1%", "--importance", "magnitude", "--no-refit")
    bad = folder / "bad.json"
    bad.write_text("{}")
    refused(1, "no times of nodes", out, "--target-time", "50%", "--profile", bad)
    refused(2, "--profile", out, "--target-time", "50%")
    quantised = run("model", "prune", SHIPPED, "--target-macs", "50%", "--calibration", PICTURES,
                    "--pictures", 8, "--out", out)
    assert quantised.returncode == 1 and "quantised already" in quantised.stderr, quantised


def takes_the_processors_kernels():
    """Also from an OpenBLAS that does not know the processor yet."""
    processor = pathlib.Path("/proc/cpuinfo").read_text().split()
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    done = subprocess.run([SIGHTLINE, "model", "--help"], capture_output=True, text=True, timeout=300,
                          env={**environment, "OPENBLAS_VERBOSE": "2"})
    assert done.returncode == 0 and "Usage" in done.stdout, done
    cores = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Core: ")]
    if "avx2" in processor and "fma" in processor and cores:
        assert cores[-1] != "Core: Prescott", cores


def main():
    if not PICTURES.is_dir():
        print(f"skipped: {PICTURES} is absent")
        return 77
    with tempfile.TemporaryDirectory() as name:
        global MODEL
        folder = pathlib.Path(name)
        MODEL = small(MODEL, folder / "model")
        takes_the_processors_kernels()
        refuses(folder)
        follows_measured_time(folder)
        makes_a_model(folder)
    return 0


sys.exit(main())
