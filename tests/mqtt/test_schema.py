#!/usr/bin/env python3
"""What the product writes fits mqtt/schema/, and what does not fit is refused.

Usage: test_schema.py SCHEMA_FOLDER PRINT_BODIES
"""

import copy
import json
import pathlib
import re
import subprocess
import sys

import jsonschema

# Commands and replies are judged where they are sent: tests/e2e/test_plant.py.
NAMES = ("alarm", "defect", "gap", "health", "info", "metrics", "model-state", "verdict")

GOOD = {
    "alarm": [
        {"schema": 1, "camera": "cam1", "id": "camera-lost-1", "kind": "camera-lost", "state": "raised", "ts": 2, "raised_ts": 1,
         "text": "No such device"},
    ],
    "gap": [
        {"schema": 1, "camera": "cam1", "stream": "0123456789abcdef", "from_seq": 5, "to_seq": 7,
         "ts": 1, "reason": "no room"},
    ],
    "health": [
        {"schema": 1, "state": "good", "reasons": [], "camera": {"state": "ok"},
         "accelerator": {"wanted": "cpu", "actual": "cpu"}},
        {"schema": 1, "state": "fault", "reasons": ["camera lost"], "last_verdict_age_ms": None,
         "camera": {"state": "lost", "error": "No such device"}, "clock": "synced",
         "accelerator": {"wanted": "cuda", "actual": "cpu", "reason": "gone", "steps": 1,
                         "fallbacks": 9, "checks": 3, "alarms": 0}, "queue": {"depth": 3, "dropped": 0}},
    ],
    "info": [
        {"schema": 1, "software": "0.1.0", "model": {"name": "pcb", "version": "1", "id": "a"},
         "recipe": "default", "boot_id": "b", "capabilities": ["trigger"],
         "schemas": {"verdict": 1}},
    ],
    "model-state": [
        {"phase": "fetch", "active": {"slot": "sl-model-a", "id": "0" * 64, "number": "1.5", "version": "1.0.0"},
         "pending": {"slot": "sl-model-b", "id": "f" * 64}, "last_result": "committed", "reason": "",
         "degraded": False, "daemon": True, "denied": 0, "chunks": 12, "fetched": 3,
         "catalog": 0, "order": 3, "waits": "line-idle", "revoked": False},
    ],
    "metrics": [
        {"parts_total": 1, "ok_total": 1, "ng_total": 0, "error_total": 0, "dropped_total": 0,
         "temperature_c": -3.5},
    ],
}

# what is changed in the first good body (None: taken away), which must then be refused
BAD = {
    "alarm": [{"state": "up"}, {"kind": "weather"}, {"id": None}, {"ts": "1"}, {"extra": 1}],
    "gap": [{"from_seq": None}, {"to_seq": -1}, {"camera": "Cam 1"}, {"reason": 3}, {"extra": 1}],
    "verdict": [
        {"result": "OK"}, {"result": None}, {"seq": 0}, {"seq": "1"}, {"schema": 2},
        {"camera": "Cam 1"}, {"clock": "good"}, {"reasons": "late"}, {"reasons": ["a"] * 5},
        {"defects": [{}]}, {"picture": {"width": -1, "height": 1}}, {"latency_ms": "12"},
        {"stream": None}, {"extra": 1}, {"truth": {"defects": 1}},
    ],
    "defect": [
        {"box": [1, 2, 3]}, {"box": None}, {"index": -1}, {"score": "high"}, {"class": 3},
        {"seq": 1.5}, {"extra": 1},
    ],
    "health": [
        {"state": "fine"}, {"state": "fault"}, {"reasons": ["why"]}, {"camera": {}},
        {"accelerator": {"wanted": "cpu"}},
        {"accelerator": {"wanted": "cpu", "actual": "cpu", "alarms": -1}}, {"last_verdict_age_ms": -1}, {"extra": 1},
    ],
    "info": [
        {"model": "pcb"}, {"capabilities": ["a", "a"]}, {"schemas": {"verdict": "1"}},
        {"software": None},
    ],
    "model-state": [
        {"phase": "dancing"}, {"active": {"slot": "sl-model-c", "id": "0" * 64}}, {"active": {"slot": "sl-model-a"}},
        {"pending": "1.5"}, {"denied": -1}, {"daemon": "yes"}, {"chunks": None}, {"extra": 1},
    ],
    "metrics": [
        {"parts_total": None}, {"parts_total": "1"}, {"nested": {"a": 1}}, {"Upper": 1},
        {"fps": None, "ng_total": -1}, {"text": "x"},
    ],
}


def changed(body, change):
    body = copy.deepcopy(body)
    for key, value in change.items():
        if value is None:
            body.pop(key, None)
        else:
            body[key] = value
    return body


def main():
    folder, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    found = {p.stem for p in folder.glob("*.json") if not re.match(r"(cmd|reply)(-|$)", p.stem)}
    if found != set(NAMES):
        sys.exit(f"{folder}: expected the schemas {sorted(NAMES)}, found {sorted(found)}")
    judges = {}
    for name in NAMES:
        schema = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        judges[name] = jsonschema.Draft202012Validator(schema)
    bodies = {name: list(GOOD.get(name, [])) for name in NAMES}
    printed = subprocess.run([program], check=True, capture_output=True).stdout.decode("utf-8")
    for line in printed.splitlines():
        name, body = line.split(" ", 1)
        bodies[name].append(json.loads(body))
    problems, judged = [], 0
    for name in NAMES:
        if not bodies[name]:
            problems.append(f"{name}: no body was written")
            continue
        for body in bodies[name]:
            judged += 1
            problems += [f"{name}: {e.json_path}: {e.message}" for e in judges[name].iter_errors(body)]
        for change in BAD[name]:
            judged += 1
            if judges[name].is_valid(changed(bodies[name][0], change)):
                problems.append(f"{name}: accepted with {change}")
    print("\n".join(problems) or f"{judged} bodies judged as they should be")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
