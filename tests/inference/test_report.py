#!/usr/bin/env python3
"""Reports and thresholds of `sightline eval`, and `sightline model report`. Usage: test_report.py SIGHTLINE MODEL"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import page

SIGHTLINE, MODEL = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
HOSTILE = '<b onload="x">&\u202e'


def evaluate(*arguments):
    return subprocess.run([SIGHTLINE, "eval", *map(str, arguments)], capture_output=True, text=True, timeout=120)


def dataset(folder):
    """The golden pictures with what must be found on them; one under a hostile name; and a good part."""
    folder.mkdir()
    for number, expect in enumerate(sorted((MODEL / "golden").glob("*.expect"))):
        stem = expect.stem
        name = '"><script>alert(1)</script>' .replace("/", "∕") if number == 0 else stem
        for kind in ("test", "temp"):
            shutil.copy(MODEL / "golden" / f"{stem}_{kind}.jpg", folder / f"{name}_{kind}.jpg")
        rows = [line.split() for line in expect.read_text().splitlines() if line.strip()]
        text = "".join(f"{r[0]} {r[1]} {r[2]} {r[3]} {int(r[4]) + 1}\n" for r in rows)
        # a defect that is not there, and one that is not known: a miss and a false alarm
        (folder / f"{name}.txt").write_text("5 5 60 60 1\n" + "\n".join(text.splitlines()[1:]) if number == 0 else text)
        if number == 1:
            for kind in ("test", "temp"):
                shutil.copy(MODEL / "golden" / f"{stem}_temp.jpg", folder / f"good_{kind}.jpg")
            (folder / "good.txt").write_text("")


def hostile_model(folder):
    shutil.copytree(MODEL, folder)
    text = (MODEL / "model.yaml").read_text()
    assert "name: open" in text
    (folder / "model.yaml").write_text(text.replace("name: open", "name: '" + HOSTILE + "'"))


def reports(folder):
    out = folder / "report.html"
    both = ("--model", folder / "model", "--dataset", folder / "data")
    result = evaluate(*both, "--report", out, "--bootstrap", 50, "--against-backend", "cpu", "--worst", 3, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["per_class"][0]["class"] == HOSTILE
    found = page.check(out.read_text())
    for part in ("Class by class", "Precision and recall", "What was taken for what", "The worst pictures",
                 "good pictures rejected", "95 % interval", "do not tell the two apart", HOSTILE.split("\u202e")[0], "1 missed"):
        assert part in found.text, part
    assert "<script>alert(1)" in found.text, "the hostile name is shown as text"
    assert sum(tag == "image" for tag, _ in found.tags) >= 1
    first = out.read_bytes()
    assert evaluate(*both, "--report", out, "--worst", 0).returncode == 0  # replaces it
    assert sum(tag == "image" for tag, _ in page.check(out.read_text()).tags) == 0 and out.read_bytes() != first


def thresholds(folder):
    both = ("--model", folder / "model", "--dataset", folder / "data", "--json")
    out = folder / "classes.yaml"
    plain = json.loads(evaluate(*both).stdout)
    result = json.loads(evaluate(*both, "--wanted-recall", "80%", "--write-thresholds", out).stdout)
    for row in result["thresholds"]:
        if row["truths"] and row["reached"]:
            assert row["hits"] / row["truths"] >= 0.8, row
    # pasted into model.yaml they give what was promised
    text = (folder / "model/model.yaml").read_text()
    lines, kept, inside = text.splitlines(), [], False
    for line in lines:
        inside = line.startswith("classes:") or (inside and (line.startswith((" ", "-")) or not line.strip()))
        kept += [] if inside else [line]
    (folder / "model/model.yaml").write_text("\n".join(kept) + "\n" + out.read_text())
    pasted = evaluate(*both)
    assert pasted.returncode == 0, pasted.stderr
    for row, promised in zip(json.loads(pasted.stdout)["per_class"], result["thresholds"]):
        assert row["class"] == promised["class"] and row["hits"] >= promised["hits"], (row, promised)
    (folder / "model/model.yaml").write_text(text)

    strict = json.loads(evaluate(*both, "--max-false-reject", "0%").stdout)
    assert strict["false_reject"] == 0, strict
    assert sum(r["hits"] for r in strict["thresholds"]) >= plain["hits"] - 2, strict
    loose = json.loads(evaluate(*both, "--max-false-reject", "1").stdout)
    assert sum(r["hits"] for r in loose["thresholds"]) >= sum(r["hits"] for r in strict["thresholds"])


def compare(*arguments):
    return subprocess.run([SIGHTLINE, "model", "report", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120)


def compares(folder):
    """The shipped model and the float one it came from; the first is also compared with itself."""
    out = folder / "models.html"
    fast = ("--rounds", 3, "--bootstrap", 50, "--out", out)
    models = (folder / "model", MODEL.parent / "pcb-fp32", folder / "model")
    result = compare(*models, "--dataset", folder / "data", *fast, "--json")
    assert result.returncode == 0, result.stderr
    first, other, same = json.loads(result.stdout)["models"]
    assert first["macs"] < other["macs"] and first["bytes"] < other["bytes"] and other["median_ms"] > 0, other
    assert first["map"] == same["map"] and same["map_interval"] == [0, 0] and same["flips"] == 0, same
    layers = {row["name"]: row["snr_db"] for row in other["layers"]}
    # the first layer has its own channels still; pruning changed those after it
    assert layers["c1"] > 10 and layers["c2"] is None and layers["h1"] > 3, layers
    assert all(row["snr_db"] is None for row in same["layers"]), "equal: beyond what JSON can say"
    found = page.check(out.read_text())
    for part in ("How well they find", "What they cost", "Layer by layer", "equal", "sees something else"):
        assert part in found.text, part
    plain = compare(*models[:2], *fast)
    assert plain.returncode == 0 and "written: " in plain.stdout, plain
    assert "How well they find" not in page.check(out.read_text()).text, "without pictures there are costs only"


def refuses_to_compare(folder):
    out = folder / "none.html"
    both = (folder / "model", MODEL)
    for status, says, arguments in [
            (2, "expected: MODEL MODEL", (MODEL, "--out", out)), (2, "expected: MODEL MODEL", both),
            (2, "more than 6 models", (MODEL,) * 7 + ("--out", out)),
            (2, "--rounds: expected 1 to", (*both, "--out", out, "--rounds", "0")),
            (2, "--metric: expected", (*both, "--out", out, "--metric", "x")),
            (1, "absent", (*both, folder / "absent", "--out", out)),
            (1, "no such folder", (*both, "--dataset", folder / "absent", "--out", out)),
            (1, "abacus", (*both, "--dataset", folder / "data", "--first-backend", "abacus", "--out", out)),
            (1, "/nowhere/", (*both, "--out", folder / "nowhere/x.html"))]:
        result = compare(*arguments)
        assert result.returncode == status and says in result.stderr, (says, result)
    few = folder / "few"
    shutil.copytree(MODEL, few)
    text = (MODEL / "model.yaml").read_text().replace("  - {name: pin-hole, threshold: 0.48}\n", "")
    (few / "model.yaml").write_text(text)
    result = compare(MODEL, few, "--out", out)
    assert result.returncode == 1 and "few" in result.stderr and not out.exists(), result


def refused(status, says, *arguments):
    result = evaluate(*arguments)
    assert result.returncode == status and says in result.stderr, (says, result)


def refuses(folder):
    both = ("--model", folder / "model", "--dataset", folder / "data")
    out = folder / "none.html"
    refused(2, "--wanted-recall: expected a share", *both, "--wanted-recall", "lots")
    refused(2, "--max-false-reject: expected a share", *both, "--max-false-reject", "101%")
    refused(2, "give one of", *both, "--max-false-reject", "1%", "--wanted-recall", "1%")
    refused(2, "--write-thresholds needs", *both, "--write-thresholds", out)
    refused(2, "not with --jitter", *both, "--report", out, "--jitter", "2px,0deg")
    refused(1, "/absent/", *both, "--report", folder / "absent/report.html")
    refused(1, "not a regular file", *both, "--report", folder)
    for name in ("good_test.jpg", "good_temp.jpg", "good.txt"):
        (folder / "data" / name).unlink()
    refused(1, "needs pictures of good parts", *both, "--max-false-reject", "1%", "--report", out)
    picture = next((folder / "data").glob("*_test.jpg"))
    picture.write_bytes(picture.read_bytes()[:3000])
    refused(1, picture.name, *both, "--report", out)
    assert not list(folder.glob("*partial*")) and not out.exists(), "nothing half written may stay"


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        dataset(folder / "data")
        hostile_model(folder / "model")
        reports(folder)
        thresholds(folder)
        compares(folder)
        refuses_to_compare(folder)
        refuses(folder)
    print("reports and thresholds are as they should be")


main()
