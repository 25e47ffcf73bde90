"""Labelled pictures on disk in three layouts, told apart by what a folder holds:

  DeepPCB  NAME_test.jpg, its template NAME_temp.jpg, NAME.txt with `x1 y1 x2 y2 type` (from 1)
  COCO     annotations/*.json (one file, or the one that begins with "instances") and images/
  YOLO     images/ and labels/NAME.txt with `class cx cy w h` in shares of the picture (from 0);
           names of classes from the `names` of a data.yaml, if there is one

read(folder) gives (names, pictures as arrays (h, w, channels) of bytes, boxes x1 y1 x2 y2 class,
classes). DeepPCB's pictures have two channels (picture, template), the others three (b, g, r).
"""

import json
import pathlib
import re

import cv2
import numpy as np

BOARD_CLASSES = ["open", "short", "mousebite", "spur", "copper", "pin-hole"]
KINDS = (".jpg", ".jpeg", ".png", ".bmp")


def read(folder, limit=None):
    folder = pathlib.Path(folder)
    if any(folder.glob("*_test.jpg")):
        return deeppcb(folder, limit)
    if any((folder / "annotations").glob("*.json")):
        return coco(folder, limit)
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        return yolo(folder, limit)
    raise SystemExit(f"{folder}: expected NAME_test.jpg files (DeepPCB), annotations/*.json (COCO) or images/ and "
                     "labels/ (YOLO); found none of them")


def picture(path, how):
    found = cv2.imread(str(path), how)
    if found is None:
        raise SystemExit(f"{path}: the picture is missing or broken")
    return found


def rows(numbers, columns, where):
    try:
        table = np.array([[float(n) for n in line] for line in numbers], np.float32).reshape(-1, columns)
    except ValueError as error:
        raise SystemExit(f"{where}: expected {columns} numbers a line ({error})") from None
    if not np.isfinite(table).all():
        raise SystemExit(f"{where}: a number is not finite")
    return table


def lines_of(path):
    return [line.split() for line in path.read_text().replace(",", " ").splitlines() if line.strip()]


def deeppcb(folder, limit):
    names = sorted(p.name[: -len("_test.jpg")] for p in folder.glob("*_test.jpg"))[:limit]
    pictures, boxes = [], []
    for name in names:
        planes = [picture(folder / f"{name}_{kind}.jpg", cv2.IMREAD_GRAYSCALE) for kind in ("test", "temp")]
        pictures.append(np.stack(planes, -1))
        table = rows(lines_of(folder / f"{name}.txt"), 5, folder / f"{name}.txt")
        table[:, 4] -= 1
        boxes.append(table)
    return names, pictures, boxes, list(BOARD_CLASSES)


def yolo_classes(folder, count):
    text = "\n".join(p.read_text() for p in sorted(folder.glob("*.yaml")))
    listed = re.search(r"^names:\s*\[(.*?)\]", text, re.M | re.S)
    if listed:
        return [n.strip(" '\"") for n in listed.group(1).split(",")]
    rows_of = re.findall(r"^\s+(\d+)\s*:\s*(.+?)\s*$", text.partition("names:")[2], re.M)
    if rows_of:
        named = {int(n): name.strip("'\"") for n, name in rows_of}
        return [named.get(i, f"class{i}") for i in range(max(named) + 1)]
    return [f"class{i}" for i in range(count)]


def yolo(folder, limit):
    paths = sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in KINDS)[:limit]
    pictures, boxes, most = [], [], 0
    for path in paths:
        image = picture(path, cv2.IMREAD_COLOR)
        label = folder / "labels" / (path.stem + ".txt")
        table = rows(lines_of(label) if label.exists() else [], 5, label)
        size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        centre, half = table[:, 1:3], table[:, 3:5] / 2
        boxes.append(np.column_stack([np.column_stack([centre - half, centre + half]) * size, table[:, 0]]))
        most = max([most, *(int(c) + 1 for c in table[:, 0])])
        pictures.append(image)
    classes = yolo_classes(folder, most)
    if most > len(classes):
        raise SystemExit(f"{folder}: a label has class {most - 1}, but only {len(classes)} classes have names")
    return [p.stem for p in paths], pictures, boxes, classes


def coco(folder, limit):
    files = sorted((folder / "annotations").glob("*.json"))
    chosen = next((f for f in files if f.name.startswith("instances")), files[0])
    data = json.loads(chosen.read_text())
    try:
        kinds = sorted(data["categories"], key=lambda c: c["id"])
        number = {c["id"]: i for i, c in enumerate(kinds)}
        images = sorted(data["images"], key=lambda i: i["file_name"])[:limit]
        found = {i["id"]: [] for i in images}
        for a in data["annotations"]:
            if a["image_id"] in found and not a.get("iscrowd"):
                x, y, w, h = a["bbox"]
                found[a["image_id"]].append([x, y, x + w, y + h, number[a["category_id"]]])
    except (KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"{chosen}: not COCO's form: {error}") from None
    pictures = [picture(folder / "images" / i["file_name"], cv2.IMREAD_COLOR) for i in images]
    boxes = [rows(found[i["id"]], 5, chosen) for i in images]
    return [pathlib.Path(i["file_name"]).stem for i in images], pictures, boxes, [c["name"] for c in kinds]
