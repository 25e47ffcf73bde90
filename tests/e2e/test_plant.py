#!/usr/bin/env python3
"""Everything that the daemon says, against mqtt/schema/: pictures, state, commands and their replies,
refused ones too. usage: test_plant.py BUILD SOURCE"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import jsonschema

from plant import SKIP, Plant, Tap, find

CAMERAS = """  - name: cam
    source: {{type: line, line: {{rate: 5, defect_rate: 0.5}}, stall_ms: 30000}}
    model: {{path: {model}}}
    part: {{deadline_ms: 30000}}
    recipes:
      - {{name: strict, thresholds: [{{class: open, threshold: 0.3}}, {{class: short, threshold: 0.3}}]}}
      - {{name: broken, model: {broken}}}
  - name: asked
    source: {{type: line, line: {{rate: 5, defect_rate: 1}}, stall_ms: 30000}}
    model: {{path: {model}}}
    part: {{mode: trigger, deadline_ms: 30000}}
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


def until(what, f, seconds=60):
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

    def asked_on():
        plant.ask("cam", "preview", rate=5, seconds=2)
        return len(of(tap, "frame")) >= 4
    until("frames", asked_on)
    time.sleep(6)
    n = len(of(tap, "frame"))
    time.sleep(1.5)
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


def info(tap, camera="cam"):
    return json.loads(of(tap, "info", camera)[-1].payload)


def test_what_if_then_apply(plant, tap):
    until("some parts", lambda: len(of(tap, "verdict")) > 30)
    high = plant.ask("cam", "threshold", value=1)["data"]
    assert high["parts"] >= 30 and high["ng_before"] > 0, high
    assert high["ng_after"] == 0 and high["ng_to_ok"] == high["ng_before"] and not high["applied"], high
    low = plant.ask("cam", "threshold", value=0.05, parts=20)["data"]
    assert low["parts"] == 20 and low["ng_after"] >= low["ng_before"] and low["unknown"] == 0, low
    same = plant.ask("cam", "threshold", value=0.48)["data"]
    assert same["ok_to_ng"] == same["ng_to_ok"] == 0 and same["before"] == 0.48, same
    assert info(tap)["thresholds"]["open"] == 0.48
    refused(plant, "cam", "threshold", "value: expected 0.05 to 1", value=0.01)
    refused(plant, "cam", "threshold", "no class 'scratch'", **{"class": "scratch"}, value=0.5)
    assert plant.ask("cam", "threshold", value=1, apply=True)["data"]["applied"]
    assert until("it is told", lambda: info(tap)["thresholds"]["open"] == 1)
    n = len(of(tap, "verdict"))
    until("parts by it", lambda: len(of(tap, "verdict")) > n + 15)
    later = [json.loads(m.payload) for m in of(tap, "verdict")[n + 2:]]
    assert all(v["result"] == "ok" for v in later) and any(v["near"] for v in later)


def test_what_was_applied_outlives_a_restart(plant, tap):
    plant.restart()
    until("it is told again", lambda: len(of(tap, "info")) >= 3)
    assert info(tap)["thresholds"]["open"] == 1
    plant.ask("cam", "threshold", value=0.48, apply=True)


def test_recipes(plant, tap):
    assert info(tap)["recipes"] == ["default", "strict", "broken"]
    refused(plant, "cam", "recipe", "name: expected 'default', 'strict', 'broken', found 'none'", name="none")
    refused(plant, "cam", "recipe", "model.yaml", name="broken")
    assert info(tap)["recipe"] == "default"
    data = plant.ask("cam", "recipe", name="strict", job_id="order-17")["data"]
    assert data == {"recipe": "strict", "before": "default", "job_id": "order-17", "model": "pcb 1.0.0"}, data
    assert until("told", lambda: info(tap)["recipe"] == "strict")
    assert info(tap)["thresholds"]["open"] == 0.3 and info(tap)["thresholds"]["spur"] == 0.48

    def strict():
        v = json.loads(of(tap, "verdict")[-1].payload)
        return v["recipe"] == "strict" and v["job_id"] == "order-17" and v["result"] != "error"
    until("judged by it", strict)
    plant.restart()
    until("judged by it after a restart", strict)
    until("ready", lambda: plant.ask("cam", "recipe", name="default")["status"] == "ok")


def test_repeated_and_retained_commands_are_refused(plant, tap):
    body = json.dumps({"id": "once", "part_id": "p-1", "verdict": "ok"})
    for status in ("ok", "error"):
        reply = plant.send("cam", "feedback", body)
        assert reply["status"] == status, reply
    assert "id: expected a new one" in reply["error"]
    n = len(tap.of("sightline/cam/reply/status"))
    subprocess.run(["mosquitto_pub", *plant.login(), "-r", "-q", "1", "-t", "sightline/cam/cmd/status", "-m", '{"id": 1}'],
                   check=True)
    subprocess.run(["mosquitto_pub", *plant.login(), "-r", "-n", "-t", "sightline/cam/cmd/status"], check=True)
    for payload, part in (("{", "not JSON"), ("[1]", "another value"), ('{"id": 1, "id": 2}', "found twice"),
                          ("{}", "id: expected"), ('{"id": 1, "x": "' + "a" * 70000 + '"}', "at most 65536 bytes")):
        assert part in plant.send("cam", "status", payload)["error"], payload[:40]
    metrics = until("counted", lambda: json.loads(of(tap, "metrics")[-1].payload)["commands_refused_total"] >= 7 and
                    json.loads(of(tap, "metrics")[-1].payload))
    assert metrics["commands_total"] > metrics["commands_refused_total"]
    assert len(tap.of("sightline/cam/reply/status")) == n + 5, "a retained command gets no answer"


def test_a_reply_goes_nowhere_else(plant, tap):
    body = json.dumps({"id": "elsewhere"})
    for topic in ("sightline/cam/verdict", "sightline/other/reply/x", "sightline/cam/reply/", "sightline/cam/reply/#"):
        n = len(of(tap, "reply/status"))
        subprocess.run(["mosquitto_pub", *plant.login(), "-q", "1", "-t", "sightline/cam/cmd/status", "-m", body, "-D", "publish",
                        "response-topic", topic], check=False, capture_output=True)
        if "#" not in topic:
            until("on the usual topic", lambda: len(of(tap, "reply/status")) == n + 1)
        assert not tap.of("sightline/other/reply/x")


def test_no_update_agent(plant, tap):
    for verb in ("update", "rollback"):
        refused(plant, "cam", verb, "no update agent")
        assert verb not in info(tap)["capabilities"]


def test_alarm_of_a_lost_camera(plant, tap):
    good = (plant.folder / "camera.yaml").read_text()
    (plant.folder / "camera.yaml").write_text(good.replace(
        "{type: line, line: {rate: 5, defect_rate: 1}, stall_ms: 30000}", "{type: custom, custom: {launch: filesrc location=/nonexistent ! jpegparse}}"))
    plant.process.send_signal(signal.SIGHUP)

    def alarms(state):
        return [a for a in (json.loads(m.payload) for m in of(tap, "alarm", "asked")) if a["state"] == state
                and a["kind"] == "camera-lost"]
    raised = until("raised", lambda: alarms("raised"))[-1]
    assert raised["text"] and not alarms("cleared")
    (plant.folder / "camera.yaml").write_text(good)
    plant.process.send_signal(signal.SIGHUP)
    cleared = until("cleared", lambda: alarms("cleared"))[-1]
    assert cleared["id"] == raised["id"] and len(alarms("raised")) == 1


TESTS = [test_pictures_of_parts, test_export, test_preview_only_while_somebody_asks, test_snapshot,
         test_refused_commands, test_what_if_then_apply, test_what_was_applied_outlives_a_restart, test_recipes,
         test_repeated_and_retained_commands_are_refused, test_a_reply_goes_nowhere_else, test_no_update_agent,
         test_alarm_of_a_lost_camera]


def main():
    if not all(find(p) for p in ("mosquitto", "mosquitto_passwd", "mosquitto_sub", "mosquitto_pub")):
        return SKIP
    build, source = map(pathlib.Path, sys.argv[1:3])
    with tempfile.TemporaryDirectory(prefix="sl-plant-") as folder, Plant(folder, build) as plant:
        plant.broker()
        tap = Tap(plant, "sightline/#")
        (plant.folder / "broken").mkdir()
        plant.configure(CAMERAS.format(model=source / "deploy/models/pcb", broken=plant.folder / "broken") +
                        "metrics_interval_s: 1\n")
        plant.process = plant.daemon()
        judge = Judge(source / "mqtt/schema")
        for test in TESTS:
            if len(sys.argv) > 3 and sys.argv[3] not in test.__name__:
                continue
            test(plant, tap)
            print(f"ok {test.__name__}")
        plant.process.terminate()
        assert plant.process.wait(10) == 0, (plant.folder / "daemon.log").read_text()
        time.sleep(0.3)
        for m in tap.messages():
            if "/cmd/" not in m.topic:
                judge.check(m)
        print(" ".join(f"{k}={v}" for k, v in sorted(judge.judged.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
