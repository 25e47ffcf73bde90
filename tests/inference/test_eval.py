#!/usr/bin/env python3
"""`sightline eval` on the shipped model's golden pictures, and what it refuses. Usage: test_eval.py SIGHTLINE MODEL

With the shared data also on COCO pictures, whose labels are written in every layout."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import coco_models

SIGHTLINE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
SHARED = pathlib.Path(os.environ.get("SIGHTLINE_SHARED", MODEL.parents[2].parent / "shared"))
KEYS = {"map", "map50", "f1", "precision", "recall", "pictures", "per_class", "registration_ms", "ms_per_picture"}


def evaluate(*arguments):
    return subprocess.run([SIGHTLINE, "eval", *map(str, arguments)], capture_output=True, text=True, timeout=120)


def golden_dataset(folder):
    """The golden pictures as labelled ones: what the model must find is the truth."""
    for path in (MODEL / "golden").iterdir():
        if path.suffix == ".jpg":
            shutil.copy(path, folder)
        else:
            rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
            text = "".join(f"{r[0]} {r[1]} {r[2]} {r[3]} {int(r[4]) + 1}\n" for r in rows)
            (folder / f"{path.stem}.txt").write_text(text)


def measures(folder):
    result = evaluate("--model", MODEL, "--dataset", folder, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert KEYS <= found.keys(), KEYS - found.keys()
    assert found["map"] == 1 and found["f1"] == 1, found
    assert found["registration_ms"]["max"] >= found["registration_ms"]["mean"] > 0
    first = evaluate("--model", MODEL, "--dataset", folder, "--json", "--jitter", "10px,1deg", "--seed", "3")
    second = evaluate("--model", MODEL, "--dataset", folder, "--json", "--jitter", "10px,1deg", "--seed", "3")
    drop_times = lambda text: {k: v for k, v in json.loads(text).items() if "ms" not in k}
    assert drop_times(first.stdout) == drop_times(second.stdout), "the same seed must give the same result"
    table = evaluate("--model", MODEL, "--dataset", folder, "--limit", 1, "--against", MODEL)
    assert table.returncode == 0 and "1 pictures" in table.stdout and "difference: mAP +0.00" in table.stdout, table
    assert "95 % interval +0.00 to +0.00" in table.stdout, table


def compares(folder):
    both = ("--model", MODEL, "--dataset", folder, "--json")
    result = json.loads(evaluate(*both, "--against", MODEL, "--bootstrap", 50).stdout)
    assert result["metric"] == result["against"]["metric"] == "deeppcb", result
    assert result["difference"] == {"map": 0, "f1": 0, "map_interval": [0, 0], "resamples": 50}, result
    plain = json.loads(evaluate(*both, "--against-backend", "cpu", "--bootstrap", 0).stdout)
    assert plain["against"]["path"] == plain["path"] and "map_interval" not in plain, plain
    assert "against" not in json.loads(evaluate(*both).stdout)
    for metric, keys in (("coco", {"map75", "map_small"}), ("voc", {"map_11_points"}), ("deeppcb", set())):
        found = json.loads(evaluate(*both, "--metric", metric, "--bootstrap", 20).stdout)
        assert found["metric"] == metric and keys <= found.keys() and found["map50"] > 0.9, found
        low, high = found["map_interval"]
        assert 0 < low <= found["map"] <= high <= 1, found


def size_of(jpeg):
    """Width and height, from the frame header."""
    at = 2
    while not 0xC0 <= jpeg[at + 1] <= 0xC3:
        at += 2 + int.from_bytes(jpeg[at + 2:at + 4], "big")
    return int.from_bytes(jpeg[at + 7:at + 9], "big"), int.from_bytes(jpeg[at + 5:at + 7], "big")


def write_layouts(folder, pictures):
    """The same labels as YOLO's, COCO's and Pascal VOC's; returns the three datasets."""
    yolo, coco, voc = folder / "yolo", folder / "coco", folder / "voc"
    for place in (yolo / "images", yolo / "labels", coco / "annotations", coco / "val", voc / "JPEGImages",
                  voc / "Annotations"):
        place.mkdir(parents=True)
    names = [name.replace("-", " ").title() for name in coco_models.CLASSES]
    file = {"images": [], "annotations": [], "categories": [{"id": i + 100, "name": n} for i, n in enumerate(names)]}
    for number, picture in enumerate(pictures):
        width, height = size_of(picture.read_bytes())
        for place in (yolo / "images", coco / "val", voc / "JPEGImages"):
            (place / picture.name).symlink_to(picture)
        text = (picture.parents[1] / "labels" / (picture.stem + ".txt")).read_text()
        (yolo / "labels" / (picture.stem + ".txt")).write_text(text)
        file["images"].append({"id": number, "file_name": picture.name, "width": width, "height": height})
        objects = ""
        for row in text.splitlines():
            c, x, y, w, h = int(row.split()[0]), *map(float, row.split()[1:5])
            box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
            file["annotations"].append({"image_id": number, "category_id": c + 100, "bbox": box, "iscrowd": 0})
            objects += (f"<object><name>{names[c].lower()}</name><bndbox><xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}"
                        f"</ymin><xmax>{box[0] + box[2]}</xmax><ymax>{box[1] + box[3]}</ymax></bndbox></object>")
        (voc / "Annotations" / (picture.stem + ".xml")).write_text(
            f"<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>")
    (coco / "annotations" / "instances_val.json").write_text(json.dumps(file))
    return yolo, coco, voc


def layouts_agree(folder):
    """One set of labels gives one result, whatever the layout."""
    pictures = sorted((SHARED / "data/coco64/images").glob("*.jpg"))[:6]
    if not pictures:
        print("the shared data is absent: COCO's, VOC's and YOLO's layout were not compared")
        return
    model = coco_models.make(str(SHARED), "fastestdet", str(folder / "fastestdet"))
    found = []
    for dataset in write_layouts(folder, pictures):
        result = evaluate("--model", model, "--dataset", dataset, "--json", "--metric", "coco")
        assert result.returncode == 0, result.stderr
        found.append(json.loads(result.stdout))
        assert found[-1]["truths"] > 10 and found[-1]["map50"] > 0.1, found[-1]
    assert found[0]["map"] == found[1]["map"] == found[2]["map"], [f["map"] for f in found]
    voc = evaluate("--model", model, "--dataset", folder / "voc", "--json")
    assert json.loads(voc.stdout)["metric"] == "voc", voc
    file = folder / "coco/annotations/instances_val.json"
    by_path = evaluate("--model", model, "--dataset", file, "--json")
    assert json.loads(by_path.stdout)["map"] == found[1]["map"], by_path
    (folder / "coco/annotations/instances_train.json").write_text("{}")
    refused(1, "2 files of annotations", "--model", model, "--dataset", folder / "coco")
    refused(1, "no 'images'", "--model", model, "--dataset", folder / "coco/annotations/instances_train.json")
    text = file.read_text()
    file.write_text(text.replace(pictures[0].name, "../" + pictures[0].name))
    refused(1, "expected a path below the dataset", "--model", model, "--dataset", file)
    far = json.loads(text)
    far["annotations"][0]["bbox"][0] = 5000
    file.write_text(json.dumps(far))
    refused(1, "label 1: expected a box in the picture of", "--model", model, "--dataset", file)
    file.write_text(text.replace(pictures[0].name, "absent.jpg"))
    refused(1, "neither beside it nor in images/", "--model", model, "--dataset", file)
    refused(1, "no Annotations/NAME.xml", "--model", model, "--dataset", folder / "yolo", "--format", "voc")
    refused(2, "--format: expected deeppcb, voc, coco or yolo", "--model", model, "--dataset", file, "--format", "png")


def refused(status, says, *arguments):
    result = evaluate(*arguments)
    assert result.returncode == status, (arguments, result)
    assert says in result.stderr, (says, result.stderr)
    assert not result.stdout, result.stdout


def refuses(folder):
    both = ("--model", MODEL, "--dataset", folder)
    refused(2, "give --model DIR and --dataset DIR", "--model", MODEL)
    refused(2, "--jitter", *both, "--jitter", "lots")
    refused(2, "--jitter", *both, "--jitter", "20px,2deg,")
    refused(2, "", *both, "--iou", "2")
    refused(2, "", *both, "--limit", "0")
    refused(2, "unexpected argument", *both, "more")
    refused(2, "--metric: expected coco, voc or deeppcb", *both, "--metric", "best")
    refused(2, "expected a number", *both, "--bootstrap", "-1")
    refused(1, "abacus", *both, "--against-backend", "abacus")
    refused(1, "abacus", *both, "--backend", "abacus")
    refused(1, "/absent", "--model", MODEL, "--dataset", folder / "absent")
    refused(1, "/absent", "--model", folder / "absent", "--dataset", folder)
    (folder / "empty").mkdir()
    refused(1, "_test.jpg", "--model", MODEL, "--dataset", folder / "empty")

    label = folder / "000001.txt"
    good = label.read_text()
    label.write_text(good + "1 2 3 4 77\n")
    refused(1, f"000001.txt:{good.count(chr(10)) + 1}", *both, "--json")
    label.write_text(good + "700 10 710 20 1\n")
    refused(1, "expected a box in the picture of 640 x 640 pixels", *both, "--json")
    label.write_bytes(good.encode() + b"\0")
    refused(1, "000001.txt: expected text, found a zero byte", *both, "--json")
    label.unlink()
    done = evaluate(*both, "--json")
    assert done.returncode == 0 and "1 of " in done.stderr and "no file of labels" in done.stderr, done
    label.write_text(good)
    with open("/dev/full", "w") as full:
        done = subprocess.run([SIGHTLINE, "eval", *map(str, both), "--json"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"standard output: No space left" in done.stderr, done

    picture = folder / "000001_test.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: len(whole) // 2])
    refused(1, "000001_test.jpg", *both, "--json")
    picture.write_bytes(whole)
    (folder / "000002_temp.jpg").unlink()
    refused(1, "000002_temp.jpg", *both, "--json")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        golden_dataset(folder)
        measures(folder)
        compares(folder)
        refuses(folder)
    with tempfile.TemporaryDirectory() as name:
        layouts_agree(pathlib.Path(name))
    print("eval measures and refuses as it should")


main()
