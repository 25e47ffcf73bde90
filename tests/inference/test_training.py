#!/usr/bin/env python3
"""Two steps of training on a few drawn pictures, with every option and in every layout.

Usage: test_training.py TRAINING_FOLDER. A long test: runs with SIGHTLINE_LONG_TESTS=1, and where torch and OpenCV are."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

if os.environ.get("SIGHTLINE_LONG_TESTS") != "1":
    print("skipped: a long test")
    sys.exit(77)
try:
    import cv2
    import numpy as np
    import onnx
    import torch  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

RECIPE = pathlib.Path(sys.argv[1]).resolve()
SIDE, COUNT = 320, 4


def run(script, *arguments):
    return subprocess.run([sys.executable, RECIPE / script, *map(str, arguments)], cwd=RECIPE, capture_output=True,
                          text=True, timeout=600)


def drawn(rng):
    """A grey picture, the same with a bright square, and the square's corners."""
    plain = rng.integers(60, 90, (SIDE, SIDE)).astype(np.uint8)
    x, y, side = rng.integers(40, 240), rng.integers(40, 240), rng.integers(16, 40)
    marked = plain.copy()
    marked[y:y + side, x:x + side] = 255
    return plain, marked, (int(x), int(y), int(x + side), int(y + side))


def write(folder):
    """The same pictures as DeepPCB, YOLO and COCO have them."""
    rng = np.random.default_rng(1)
    pcb, yolo, coco = folder / "pcb", folder / "yolo", folder / "coco"
    for path in (pcb, yolo / "images", yolo / "labels", coco / "images", coco / "annotations"):
        path.mkdir(parents=True)
    data = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "spot"}, {"id": 9, "name": "dent"}]}
    for i in range(COUNT):
        plain, marked, (x1, y1, x2, y2) = drawn(rng)
        cv2.imwrite(str(pcb / f"{i}_temp.jpg"), plain)
        cv2.imwrite(str(pcb / f"{i}_test.jpg"), marked)
        (pcb / f"{i}.txt").write_text(f"{x1} {y1} {x2} {y2} {i % 6 + 1}\n")
        for path in (yolo, coco):
            cv2.imwrite(str(path / f"images/{i}.jpg"), cv2.cvtColor(marked, cv2.COLOR_GRAY2BGR))
        centre = [(x1 + x2) / 2 / SIDE, (y1 + y2) / 2 / SIDE, (x2 - x1) / SIDE, (y2 - y1) / SIDE]
        (yolo / f"labels/{i}.txt").write_text(" ".join(map(str, [i % 2, *centre])) + "\n")
        data["images"].append({"id": i, "file_name": f"{i}.jpg"})
        data["annotations"].append({"image_id": i, "category_id": 7 + 2 * (i % 2), "bbox": [x1, y1, x2 - x1, y2 - y1]})
    (yolo / "data.yaml").write_text("names: [spot, dent]\n")
    (coco / "annotations/instances.json").write_text(json.dumps(data))
    return pcb, yolo, coco


def layouts_agree(yolo, coco):
    code = ("import sys, layouts, numpy as np; a, b = layouts.read(sys.argv[1]), layouts.read(sys.argv[2]); "
            "assert a[0] == b[0] and a[3] == b[3] == ['spot', 'dent'], (a[0], b[0], a[3], b[3]); "
            "assert all(np.allclose(x, y, atol=0.01) for x, y in zip(a[2], b[2])), (a[2], b[2])")
    done = subprocess.run([sys.executable, "-c", code, yolo, coco], cwd=RECIPE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def trains(folder, pcb, coco):
    common = ("--held-out", 1, "--steps", 2)
    done = run("train.py", "--dataset", coco, *common, "--out", folder / "coco.pt")
    assert done.returncode == 0 and "held out" in done.stdout, done.stderr
    done = run("train.py", "--dataset", pcb, *common, "--out", folder / "teacher.pt")
    assert done.returncode == 0, done.stderr
    done = run("train.py", "--dataset", pcb, *common, "--start", folder / "teacher.pt", "--teacher", folder / "teacher.pt",
               "--prune", "50%", "--qat", "--out", folder / "small.pt")
    assert done.returncode == 0 and "pruned: 568.9 -> " in done.stdout, (done.stdout, done.stderr)
    done = run("export.py", folder / "small.pt", "--int8", "--size", SIDE, "--out", folder / "small.onnx")
    assert done.returncode == 0, done.stderr
    kinds = [node.op_type for node in onnx.load(str(folder / "small.onnx")).graph.node]
    assert kinds.count("QuantizeLinear") >= 10, kinds


def refused(says, *arguments):
    done = run("train.py", *arguments)
    assert done.returncode != 0 and says in done.stderr, (says, done.stderr)


def refuses(folder, pcb, coco):
    out = ("--out", folder / "none.pt")
    empty = folder / "empty"
    empty.mkdir()
    refused("found none of them", "--dataset", empty, *out)
    refused("would leave none", "--dataset", pcb, "--held-out", COUNT, *out)
    refused("differ from those of the first folder", "--dataset", pcb, "--dataset", coco, "--held-out", 1, *out)
    refused("such as 50%", "--dataset", pcb, "--prune", "half", *out)
    refused("channels and", "--dataset", coco, "--held-out", 1, "--start", folder / "teacher.pt", *out)
    (pcb / "0.txt").write_text("1 2 3\n")
    refused("0.txt: expected 5 numbers", "--dataset", pcb, *out)
    assert not (folder / "none.pt").exists()


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        pcb, yolo, coco = write(folder)
        layouts_agree(yolo, coco)
        trains(folder, pcb, coco)
        refuses(folder, pcb, coco)
    return 0


sys.exit(main())
