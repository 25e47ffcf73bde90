#!/usr/bin/env python3
"""What `sightline model` refuses or bridges: networks and pictures that are not in order, runs that are interrupted.

Usage: test_workshop_refusals.py SIGHTLINE MODEL. Skips without the shared data or python3-onnx."""

import os
import pathlib
import pty
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

try:
    import numpy
    import onnx
    from onnx import numpy_helper
    from small_model import SIDE, small
except ImportError:
    print("skipped: python3-onnx is not installed")
    sys.exit(77)

SIGHTLINE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2])
SHARED = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", MODEL.parents[2].parent / "shared"))
PICTURES = SHARED / "data/deeppcb/train"
LONG_S = 120
REMAINS = re.compile(rb"tuning .* of 1000000, .* left")


def arguments_of(action, model, out, pictures=PICTURES):
    more = {"quantize": ["--calibration", pictures, "--pictures", 8, "--method", "minmax"],
            "prune": ["--calibration", pictures, "--pictures", 8, "--target-macs", "80%", "--importance", "magnitude",
                      "--no-refit", "--steps", 0],
            "convert": ["--weights", "fp16"]}[action]
    return [str(a) for a in [SIGHTLINE, "model", action, model, "--out", out, *more]]


def run(action, model, out, **more):
    return subprocess.run(arguments_of(action, model, out), capture_output=True, text=True, timeout=300, **more)


def nothing_stays(out):
    assert not list(out.parent.glob(out.name + "*")), list(out.parent.glob(out.name + "*"))


def with_weight(value):
    def change(network):
        for tensor in network.graph.initializer:
            if tensor.name == "c2_weight":
                array = numpy_helper.to_array(tensor).copy()
                array[1, 0, 0, 0] = value
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
                return
        raise AssertionError("no c2_weight")
    return change


def open_side(network):
    dim = network.graph.input[0].type.tensor_type.shape.dim[2]
    dim.Clear()
    dim.dim_param = "height"


def unknown_operator(network):
    next(n for n in network.graph.node if n.name == "c3").op_type = "GridSample"


def outside(network):
    onnx.external_data_helper.convert_model_to_external_data(network, location="weights.bin", size_threshold=64)


NETWORKS = {
    "nan": (with_weight(numpy.nan), ["node 'c2' (Conv)", "'c2_weight' is nan", "export it again"]),
    "infinite": (with_weight(numpy.inf), ["node 'c2' (Conv)", "'c2_weight' is inf", "export it again"]),
    "open": (open_side, ["input 'image'", "side 2 ('height') is open", "fixed sizes"]),
    "unknown": (unknown_operator, ["node 'c3' (GridSample)", "not supported", "replace it"]),
    "outside": (outside, ["'c1_weight'", "lies in another file", "weights inside"]),
}


def refuses_networks(folder):
    out = folder / "none"
    for name, (change, says) in NETWORKS.items():
        model = folder / name
        small(MODEL, model, change)
        for action in ("quantize", "prune", "convert"):
            done = run(action, model, out)
            assert done.returncode == 1 and not done.stdout, (name, action, done)
            for text in [str(model), *says]:
                assert text in done.stderr, (name, action, text, done.stderr)
            nothing_stays(out)


def long_names(network):
    """Alike for 1,000 bytes, which end inside a character."""
    for node in network.graph.node:
        node.name = "n" + "\u00e9" * 600


def bridges_names(folder):
    for action in ("prune", "convert"):
        out = folder / f"long-{action}"
        done = run(action, small(MODEL, folder / f"long-{action}-model", long_names), out)
        assert done.returncode == 0, done
        onnx.checker.check_model(str(out / "model.onnx"), full_check=True)


def keeps_what_halves_cannot_hold(folder):
    out = folder / "half"
    assert run("convert", small(MODEL, folder / "large", with_weight(1e6)), out).returncode == 0
    weights = {t.name: t for t in onnx.load(str(out / "model.onnx")).graph.initializer}
    assert weights["c2_weight"].data_type == onnx.TensorProto.FLOAT, weights.keys()
    assert numpy_helper.to_array(weights["c2_weight"])[1, 0, 0, 0] == 1e6


def refuses_what_it_could_not_read(folder):
    """A scale beyond what we read: found before anything is written."""
    out = folder / "none"
    done = run("quantize", small(MODEL, folder / "huge", with_weight(3e38)), out)
    assert done.returncode == 1 and "expected 1e-18 to 1e+18" in done.stderr, done
    nothing_stays(out)


def refuses_places(folder, model):
    for action in ("quantize", "prune", "convert"):
        began = time.monotonic()
        done = run(action, model, folder / "absent/out")
        assert done.returncode == 1 and f"cannot be made in '{folder}/absent'" in done.stderr, done
        assert time.monotonic() - began < 2, action
    done = subprocess.run([*arguments_of("convert", model, folder / "none"), "--contract", str(MODEL / "model.yaml")],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "--contract goes with an .onnx file" in done.stderr, done


def fits_pictures_of_another_size(folder, model):
    for action in ("quantize", "prune"):
        done = run(action, model, folder / f"fitted-{action}")
        assert done.returncode == 0, done
        assert f"8 of 8 pictures are not {SIDE} x {SIDE}" in done.stderr and "is 640 x 640" in done.stderr, done.stderr


def refuses_too_few(folder, model):
    few, out = folder / "few", folder / "none"
    few.mkdir()
    for path in sorted(PICTURES.glob("*_test.jpg"))[:7]:
        shutil.copy(path, few)
        shutil.copy(str(path).replace("_test", "_temp"), few)
    for action in ("quantize", "prune"):
        done = subprocess.run(arguments_of(action, model, out, few), capture_output=True, text=True, timeout=300)
        assert done.returncode == 1 and "7 pictures, expected at least 8" in done.stderr, (action, done)
        nothing_stays(out)


def survives_a_full_disk(folder, model):
    """The disk takes 20,000 bytes of each file."""
    out = folder / "none"
    for restore in (False, True):  # SIGXFSZ ignored, and as usual
        for action in ("quantize", "prune", "convert"):
            done = run(action, model, out, restore_signals=restore,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)))
            assert done.returncode == 1 and f"{out}/model.onnx: File too large" in done.stderr, (action, done)
            nothing_stays(out)


def leaves_nothing_when_interrupted(folder, model):
    """On a terminal, to see the progress as well: once tuning tells the remaining time, the run is interrupted."""
    out = folder / "none"
    for number in (signal.SIGINT, signal.SIGTERM):
        terminal, other = pty.openpty()
        child = subprocess.Popen(arguments_of("prune", model, out)[:-1] + ["1000000"], stdout=subprocess.DEVNULL,
                                 stderr=other)
        os.close(other)
        shown, end = b"", time.monotonic() + LONG_S
        while not REMAINS.search(shown) and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096)
        child.send_signal(number)
        assert child.wait(LONG_S) == -number, child.returncode
        os.close(terminal)
        assert REMAINS.search(shown), shown[-400:]
        nothing_stays(out)


def main():
    if not PICTURES.is_dir():
        print(f"skipped: {PICTURES} is absent")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        refuses_networks(folder)
        model = small(MODEL, folder / "model")
        refuses_places(folder, model)
        refuses_what_it_could_not_read(folder)
        bridges_names(folder)
        keeps_what_halves_cannot_hold(folder)
        refuses_too_few(folder, model)
        fits_pictures_of_another_size(folder, model)
        survives_a_full_disk(folder, model)
        leaves_nothing_when_interrupted(folder, model)
    return 0


sys.exit(main())
