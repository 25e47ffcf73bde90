#!/usr/bin/env python3
"""Average precision by COCO's, Pascal VOC's and DeepPCB's definition against a second implementation in numpy.

Usage: test_metrics.py METRIC_CASES"""

import subprocess
import sys

import numpy as np

CASES = sys.argv[1]
DEEPPCB, VOC, COCO = 1, 2, 3
COUNTS, IGNORED, CROWD = 0, 1, 2
AREAS = {"all": (0, np.inf), "small": (0, 32 ** 2), "medium": (32 ** 2, 96 ** 2), "large": (96 ** 2, np.inf)}


def overlap(d, label):
    """Intersection over union; with a crowd, the share of the detection that lies in it."""
    w = min(d["box"][2], label["box"][2]) - max(d["box"][0], label["box"][0])
    h = min(d["box"][3], label["box"][3]) - max(d["box"][1], label["box"][1])
    if w <= 0 or h <= 0:
        return 0.0
    size = lambda b: (b[2] - b[0]) * (b[3] - b[1])
    if label["use"] == CROWD:
        return w * h / size(d["box"])
    return w * h / (size(d["box"]) + size(label["box"]) - w * h)


def match_coco(found, labels, limit, area):
    """COCO: returns a list of (score, hit) without what is ignored, and the number of objects that count."""
    low, high = AREAS[area]
    skip = [l["use"] != COUNTS or not low <= l["area"] <= high for l in labels]
    order = sorted(range(len(labels)), key=lambda i: skip[i])
    used, rows = set(), []
    for d in found[:100]:
        best, most = None, min(limit, 1 - 1e-10)
        for i in order:
            if i in used and labels[i]["use"] == COUNTS:
                continue
            if best is not None and not skip[best] and skip[i]:
                break
            if overlap(d, labels[i]) >= most:
                best, most = i, overlap(d, labels[i])
        if best is not None:
            used.add(best)
        size = (d["box"][2] - d["box"][0]) * (d["box"][3] - d["box"][1])
        if skip[best] if best is not None else not low <= size <= high:
            continue
        rows.append((d["score"], best is not None))
    return rows, len(labels) - sum(skip)


def match_voc(found, labels, limit, _):
    used, rows = set(), []
    for d in found:
        overlaps = [overlap(d, l) for l in labels]
        best = int(np.argmax(overlaps)) if overlaps else None
        if best is None or overlaps[best] < limit:
            rows.append((d["score"], False))
        elif labels[best]["use"] == COUNTS:
            rows.append((d["score"], best not in used))
            used.add(best)
    return rows, sum(l["use"] == COUNTS for l in labels)


def match_deeppcb(found, labels, limit, _):
    used, rows = set(), []
    for d in found:
        free = [(overlap(d, l), -i) for i, l in enumerate(labels) if l["use"] == COUNTS and i not in used]
        near = [l for l in labels if l["use"] != COUNTS and overlap(d, l) > limit]
        if free and max(free)[0] > limit:
            used.add(-max(free)[1])
            rows.append((d["score"], True))
        elif not near:
            rows.append((d["score"], False))
    return rows, sum(l["use"] == COUNTS for l in labels)


def curve(rows):
    rows = sorted(rows, key=lambda r: -r[0])  # stable: ties stay in the order of the pictures
    hits = np.array([r[1] for r in rows], dtype=float)
    return np.cumsum(hits), np.cumsum(hits) / np.arange(1, len(hits) + 1), hits


def area_raw(rows, truths):
    _, precision, hits = curve(rows)
    return float((precision * hits).sum() / truths)


def area_points(rows, truths, points):
    found, precision, _ = curve(rows)
    recall, sums = found / truths, 0.0
    for wanted in np.linspace(0, 1, points):
        beyond = precision[recall >= wanted]
        sums += beyond.max() if len(beyond) else 0.0
    return sums / points


def area_envelope(rows, truths):
    found, precision, _ = curve(rows)
    recall = np.concatenate([[0], found / truths, [1]])
    envelope = np.maximum.accumulate(np.append(precision, 0)[::-1])[::-1]
    return float(((recall[1:] - recall[:-1]) * envelope).sum())


def average(case, match, area_under, limits, area="all"):
    """Per class, NaN without objects."""
    out = []
    for c in range(case["classes"]):
        per_limit = []
        for limit in limits:
            rows, truths = [], 0
            for found, labels in case["pictures"]:
                mine, n = match([d for d in found if d["class"] == c], [l for l in labels if l["class"] == c],
                                limit, area)
                rows += mine
                truths += n
            per_limit.append(area_under(rows, truths) if truths else np.nan)
        out.append(np.mean(per_limit))
    return out


def mean(values, empty=np.nan):
    values = [v for v in values if not np.isnan(v)]
    return float(np.mean(values)) if values else empty


def expected(case):
    if case["metric"] == COCO:
        limits = np.linspace(0.5, 0.95, 10)
        area = lambda rows, n: area_points(rows, n, 101)
        per_class = average(case, match_coco, area, limits)
        at = lambda limit: mean(average(case, match_coco, area, [limit]), 0)
        sized = [mean(average(case, match_coco, area, limits, a)) for a in ("small", "medium", "large")]
        return [mean(per_class, 0), at(limits[0]), at(limits[5]), *sized, np.nan], per_class
    nans = [np.nan] * 4
    if case["metric"] == VOC:
        per_class = average(case, match_voc, area_envelope, [0.5])
        eleven = average(case, match_voc, lambda rows, n: area_points(rows, n, 11), [0.5])
        return [mean(per_class, 0), mean(per_class, 0), *nans, mean(eleven, 0)], per_class
    # 0.33 is a float there
    per_class = average(case, match_deeppcb, area_raw, [float(np.float32(0.33))])
    return [mean(per_class, 0), mean(average(case, match_deeppcb, area_raw, [0.5]), 0), *nans, np.nan], per_class


def ours(case, resamples=0, seed=1):
    lines = [f"{case['metric']} {case['classes']} 0 {resamples} {seed} {len(case['pictures'])}"]
    for found, labels in case["pictures"]:
        lines.append(f"{len(found)} {len(labels)}")
        lines += [" ".join(map(repr, [*d["box"], d["score"], d["class"]])) for d in found]
        lines += [" ".join(map(repr, [*l["box"], l["class"], l["use"], l["area"]])) for l in labels]
    done = subprocess.run([CASES], input="\n".join(lines), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [float(x) for x in done.stdout.split()]


def check(case, what):
    figures, per_class = expected(case)
    found = ours(case)
    for i, (a, b) in enumerate(zip(figures + per_class, found[:7] + found[10:])):
        assert (np.isnan(a) and np.isnan(b)) or abs(a - b) < 1e-6, (what, i, a, b)
    return found[0]


def box(x, y, w, h):
    return [float(np.float32(v)) for v in (x, y, x + w, y + h)]


def label(b, c=0, use=COUNTS, area=None):
    return {"box": b, "class": c, "use": use, "area": float(area or (b[2] - b[0]) * (b[3] - b[1]))}


def detection(b, score, c=0):
    return {"box": b, "class": c, "score": float(np.float32(score))}


def by_hand():
    """Cases whose result is known without any program."""
    one = box(0, 0, 10, 10)
    coco = lambda *pictures, classes=1: check({"metric": COCO, "classes": classes, "pictures": pictures}, "by hand")
    assert coco(([], [])) == 0
    assert coco(([detection(one, 0.9)], [label(one)])) == 1
    assert coco(([], [label(one)])) == 0
    # 8 of 10: hits at 0.50 … 0.80, the last of them exactly
    assert abs(coco(([detection(box(0, 0, 8, 10), 0.9)], [label(one)])) - 0.7) < 1e-9
    # a class without objects is not part of the mean, its false alarms neither
    assert coco(([detection(one, 0.9), detection(one, 0.8, 1)], [label(one)]), classes=2) == 1
    # a crowd takes any number of detections; an object beside it must still be found
    crowd = label(box(0, 0, 100, 100), 0, CROWD)
    assert coco(([detection(box(i, i, 10, 10), 0.9) for i in range(20)], [crowd])) == 0  # no object counts
    some = [detection(box(50, 50, 10, 10), 0.95), detection(one, 0.9), detection(box(20, 20, 10, 10), 0.9)]
    assert coco((some, [crowd, label(one)])) == 1
    # the 101st detection of a class is not looked at
    many = [detection(box(1000 + 20 * i, 0, 10, 10), 0.9) for i in range(100)] + [detection(one, 0.1)]
    assert coco((many, [label(one)])) == 0
    assert coco((many[1:], [label(one)])) > 0
    # of two detections with one score the picture that comes first comes first
    hit, miss = ([detection(one, 0.5)], [label(one)]), ([detection(one, 0.5)], [])
    assert coco(hit, miss) == 1
    assert abs(coco(miss, hit) - 0.5) < 1e-9
    # VOC: a second detection of an object is a false alarm, even where another object is free
    voc = {"metric": VOC, "classes": 1, "pictures": [([detection(one, 0.9), detection(box(0, 0, 10, 9), 0.8)],
                                                       [label(one), label(box(0, 0, 10, 8))])]}
    assert check(voc, "voc") == 0.5


def random_case(random, metric):
    """Boxes on a coarse grid and scores in steps: many are equal."""
    coarse = random.choice([4, 12, 60])
    some = lambda: box(*(coarse * random.integers(0, 6, 2)), *(coarse * random.integers(1, 4, 2)))
    classes = int(random.integers(1, 5))
    pictures = []
    for _ in range(random.integers(1, 12)):
        labels = []
        for _ in range(random.integers(0, 8)):
            b = some()
            area = (b[2] - b[0]) * (b[3] - b[1]) * random.choice([1, 0.6])
            labels.append(label(b, int(random.integers(0, classes)), int(random.choice([0, 0, 0, 1, 2])), area))
        found = []
        for _ in range(random.integers(0, 16)):
            b, c = some(), int(random.integers(0, classes))
            if labels and random.random() < 0.6:
                near = labels[random.integers(0, len(labels))]
                c, shift = near["class"], float(random.choice([0, 0, 1, 2]))
                b = box(near["box"][0] + shift, near["box"][1], near["box"][2] - near["box"][0],
                        near["box"][3] - near["box"][1])
            found.append(detection(b, random.integers(1, 10) / 10, c))
        found.sort(key=lambda d: -d["score"])
        pictures.append((found, labels))
    return {"metric": metric, "classes": classes, "pictures": pictures}


def draws(seed, count):
    """splitmix64, and Lemire's way to a number below `count`."""
    mask = (1 << 64) - 1
    while True:
        seed = (seed + 0x9e3779b97f4a7c15) & mask
        z = ((seed ^ seed >> 30) * 0xbf58476d1ce4e5b9) & mask
        z = ((z ^ z >> 27) * 0x94d049bb133111eb) & mask
        yield ((z ^ z >> 31) >> 32) * count >> 32


def check_bootstrap(random):
    """The pictures really taken several times, instead of with a weight."""
    for metric in (DEEPPCB, VOC, COCO):
        case = random_case(random, metric)
        scores = iter(random.permutation(1000) / 1000)  # no ties: copies of a picture are not told apart
        for found, _ in case["pictures"]:
            for d in found:
                d["score"] = float(np.float32(next(scores)))
            found.sort(key=lambda d: -d["score"])
        n = len(case["pictures"])
        numbers, maps = draws(7, n), []
        for _ in range(40):
            chosen = sorted(next(numbers) for _ in range(n))
            maps.append(expected({**case, "pictures": [case["pictures"][i] for i in chosen]})[0][0])
        maps.sort()
        low, high = ours(case, 40, 7)[-2:]
        assert abs(low - maps[int(np.floor(0.025 * 39))]) < 1e-6, (metric, low, maps)
        assert abs(high - maps[int(np.ceil(0.975 * 39))]) < 1e-6, (metric, high, maps)


def main():
    random = np.random.default_rng(5)
    by_hand()
    for i in range(25):
        for metric in (DEEPPCB, VOC, COCO):
            check(random_case(random, metric), (i, metric))
    check_bootstrap(random)
    print("all figures are equal to 1e-6")


main()
