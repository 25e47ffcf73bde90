#!/usr/bin/env python3
"""Everything that the daemon says, against mqtt/schema/: pictures, state, commands and their replies,
refused ones too. usage: test_plant.py BUILD SOURCE"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import jsonschema

from plant import SKIP, Plant, Tap, find

CAMERAS = """  - name: cam
    source: {{type: line, line: {{rate: 10, defect_rate: 0.5}}}}
    model: {{path: {model}}}
  - name: asked
    source: {{type: line, line: {{rate: 10, defect_rate: 1}}}}
    model: {{path: {model}}}
    part: {{mode: trigger}}
"""
JPEG = b"\xff\xd8\xff"


class Judge:
    """Knows which schema a topic has, and says what does not fit."""

    def __init__(self, folder):
        self.schemas = {p.stem: jsonschema.Draft202012Validator(json.loads(p.read_text(encoding="utf-8")))
                        for p in folder.glob("*.json")}
        self.judged = {}

    def name_of(self, leaf, body):
        if leaf.startswith("reply/"):
            return f"reply-{leaf[6:]}" if f"reply-{leaf[6:]}" in self.schemas and body["status"] == "ok" else "reply"
        return {"verdict/last": "verdict", "model/state": "model-state"}.get(leaf, leaf)

    def check(self, m):
        leaf = m.topic.split("/", 2)[2] if m.topic.count("/") > 1 else m.topic
        if leaf == "status":
            assert m.payload in (b"online", b"offline"), m
        elif leaf == "frame" or leaf.startswith("crop/"):
            self.check_picture(m, leaf)
        else:
            body = json.loads(m.payload)
            name = self.name_of(leaf, body)
            assert m.content_type == "application/json", m
            for e in self.schemas[name].iter_errors(body):
                raise AssertionError(f"{m.topic}: {e.json_path}: {e.message}: {body}")
            leaf = name
        self.judged[leaf.split("/")[0]] = self.judged.get(leaf.split("/")[0], 0) + 1

    @staticmethod
    def check_picture(m, leaf):
        assert m.payload[:3] == JPEG and m.payload[-2:] == b"\xff\xd9" and len(m.payload) <= 100000, m.topic
        assert m.content_type == "image/jpeg", m
        if leaf == "frame":
            assert m.expiry == 5 and m.qos == 0 and not m.retain, m
        elif leaf == "crop/last":
            assert m.qos == 0 and 0 < m.expiry <= 600, m
        else:
            assert m.qos == 1 and 0 < m.expiry <= 600 and m.user["crop_id"] == leaf[5:], m


def until(what, f, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = f()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def of(tap, leaf, camera="cam"):
    return tap.of(f"sightline/{camera}/{leaf}")


def test_pictures_of_parts(plant, tap):
    def complete():
        verdicts = {v["part_id"]: v for v in map(lambda m: json.loads(m.payload), of(tap, "verdict"))}
        crops = {m.user["crop_id"]: m for m in of(tap, "crop/+") if m.topic.split("/")[-1] != "last"}
        ng = [v for v in verdicts.values() if v["result"] == "ng" and v["crop"] in crops]
        return len(ng) >= 5 and (verdicts, crops, ng)
    verdicts, crops, ng = until("pictures of five parts", complete)
    for v in ng:
        assert crops[v["crop"]].user["part_id"] == v["part_id"]
    assert all(v["crop"] is None for v in verdicts.values() if v["result"] == "ok"), "OK parts need no picture"
    defects = [json.loads(m.payload) for m in of(tap, "defect")]
    assert defects and all(d["crop"] for d in defects)
    for v in ng:
        kept = plant.folder / "ledger/pictures" / v["crop"][-2:] / f"{v['crop']}.jpg"
        assert kept.read_bytes() == crops[v["crop"]].payload, "what is kept is what was sent"
    assert of(tap, "crop/last")


def test_export(plant, tap):
    out = plant.folder / "export"
    run = subprocess.run([plant.build / "sightline", "ledger", "export", "--ledger", plant.folder / "ledger", "--pictures",
                          out, "--result", "ng", "--limit", "3"], capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(records) == 3
    wanted = {f"{r['body']['camera']}-{r['body']['seq']}-{r['body']['crop']}.jpg" for r in records}
    assert {p.name for p in out.iterdir()} == wanted, (wanted, run.stderr)
    assert all(p.read_bytes()[:3] == JPEG for p in out.iterdir())


def test_preview_only_while_somebody_asks(plant, tap):
    time.sleep(0.5)
    assert not of(tap, "frame"), "nobody asked"
    assert plant.ask("cam", "preview", rate=5, seconds=2)["data"] == {"rate": 5, "seconds": 2}
    until("frames", lambda: len(of(tap, "frame")) >= 4)
    time.sleep(2.5)
    n = len(of(tap, "frame"))
    assert n <= 14, f"{n} frames in two seconds at 5 a second"
    time.sleep(0.7)
    assert len(of(tap, "frame")) == n, "the lease is over"


def test_snapshot(plant, tap):
    crop = plant.ask("asked", "snapshot")["data"]["crop"]
    m = until("the picture", lambda: of(tap, f"crop/{crop}", "asked"))[0]
    assert "part_id" not in m.user


def refused(plant, camera, verb, part, **arguments):
    reply = plant.ask(camera, verb, **arguments)
    assert reply["status"] == "error" and re.search(part, reply["error"]), reply


def test_refused_commands(plant, tap):
    refused(plant, "cam", "preview", "rate: expected a number from 1 to 5", rate=50)
    refused(plant, "cam", "preview", "seconds: expected a number", seconds="long")
    refused(plant, "cam", "snapshot", "no such argument", extra=1)
    refused(plant, "cam", "trigger", "free-run")
    refused(plant, "cam", "explode", "no such command")


TESTS = [test_pictures_of_parts, test_export, test_preview_only_while_somebody_asks, test_snapshot,
         test_refused_commands]


def main():
    if not all(find(p) for p in ("mosquitto", "mosquitto_passwd", "mosquitto_sub", "mosquitto_pub")):
        return SKIP
    build, source = map(pathlib.Path, sys.argv[1:3])
    with tempfile.TemporaryDirectory(prefix="sl-plant-") as folder, Plant(folder, build) as plant:
        plant.broker()
        tap = Tap(plant, "sightline/#")
        plant.configure(CAMERAS.format(model=source / "deploy/models/pcb") + "metrics_interval_s: 1\n")
        daemon = plant.daemon()
        judge = Judge(source / "mqtt/schema")
        for test in TESTS:
            if len(sys.argv) > 3 and sys.argv[3] not in test.__name__:
                continue
            test(plant, tap)
            print(f"ok {test.__name__}")
        daemon.terminate()
        assert daemon.wait(10) == 0, (plant.folder / "daemon.log").read_text()
        time.sleep(0.3)
        for m in tap.messages():
            if "/cmd/" not in m.topic:
                judge.check(m)
        print(" ".join(f"{k}={v}" for k, v in sorted(judge.judged.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
