#!/usr/bin/env python3
"""What 8 bits cost each float detector of the shared data: a table in Markdown.

usage: quantise_table.py SIGHTLINE [--only NAME,NAME] [--pictures N] [--keep DIR]

COCO detectors are calibrated on every second of the 64 pictures and judged on the others; the unpruned circuit board
detector is calibrated on DeepPCB's training part and judged on its test part by DeepPCB's own definition. Left out: fastestdet_352.onnx (the same
network without its last operators), rfb_320x240.onnx (no head for it here), yolov5n_relu_320.onnx (random weights). The yardstick is ONNX Runtime with the
float file; ours stands beside plain min-max. Intervals are 95 %, by drawing the pictures anew in pairs. Every file is
given to the ONNX checker and run in ONNX Runtime, its outputs compared with ours. Takes minutes: not part of the tests.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import coco_models  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
SHARED = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", TOP.parent / "shared"))


def run(*arguments):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def check(path):
    try:
        import onnx
    except ImportError:
        return "not run: python3-onnx is missing"
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)
    return "passed"


def points(value):
    return "-" if value is None else f"{100 * value:.2f}"


def lost(judged, key):
    """Points lost against the yardstick; for mAP with its interval."""
    text = points(judged["against"][key] - judged[key])
    between = judged.get("difference", {}).get(key + "_interval")
    return text if not between else f"{text} ({points(-between[1])} to {points(-between[0])})"


def row(sightline, name, model, calibration, judged, metric, method, pictures, folder):
    out = folder / f"{name}-{method}"
    begin = time.monotonic()
    made = run(sightline, "model", "quantize", model, "--calibration", calibration, "--pictures", pictures, "--method",
               method, "--out", out, "--json")
    seconds = time.monotonic() - begin
    found = run(sightline, "eval", "--model", out, "--against", model, "--against-backend", "onnxruntime", "--metric",
                metric, "--dataset", judged, "--json")
    network = next(out.glob("*.onnx"))
    peer = run(sightline, "bench", "--model", network, "--against", "onnxruntime", "--seconds", "0.2", "--json")
    same = "equal" if peer["differing_values"] == 0 else \
        f"{peer['differing_values']} of {peer['values']} differ, by {peer['max_difference']:.2g} at most"
    print(f"| {name} | {method} | {made['layers_int8']}/{made['layers_int8'] + made['layers_float']} | "
          f"{points(found['against']['map'])} | {points(found['map'])} | {lost(found, 'map')} | "
          f"{points(found['against']['map50'])} | {points(found['map50'])} | {lost(found, 'map50')} | {check(network)} | "
          f"{same} | {seconds:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sightline")
    parser.add_argument("--only", help="names with commas between them")
    parser.add_argument("--pictures", type=int, default=32, help="for calibration (default 32)")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the models that are made")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = a.keep or pathlib.Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        calibration, judged = coco_models.halves(str(SHARED), str(folder / "coco"))
        boards = SHARED / "data/deeppcb"
        rows = {name: (pathlib.Path(coco_models.make(str(SHARED), name, str(folder / name))), calibration, judged, "coco")
                for name in coco_models.MODELS}
        rows["pcb-fp32"] = (TOP / "deploy/models/pcb-fp32", boards / "train", boards / "test", "deeppcb")
        print("| model | method | INT8 layers | mAP float | mAP | lost | AP50 float | AP50 | lost | ONNX checker | "
              "outputs in ONNX Runtime | s |\n|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in a.only.split(",") if a.only else rows:
            if name not in rows:
                raise SystemExit(f"--only: no model '{name}'; there are {', '.join(rows)}")
            for method in ("best", "minmax"):
                row(a.sightline, name, *rows[name], method, a.pictures, folder)
    return 0


sys.exit(main())
