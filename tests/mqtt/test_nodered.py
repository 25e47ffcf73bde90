#!/usr/bin/env python3
"""deploy/nodered in a real Node-RED 4, which is installed once: half a minute and 100 MB in the build folder. Skipped
without npm and its registry. Usage: test_nodered.py BUILD_FOLDER"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.dont_write_bytecode = True
from brokers import SKIP, SOURCE, Broker, free_ports, missing  # noqa: E402

VERSION = "4.1.1"
SETTINGS = "module.exports = {flowFile: 'flows.json', credentialSecret: false, uiHost: '127.0.0.1', " \
           "httpAdminRoot: false, diagnostics: {enabled: false}, telemetry: {enabled: false}};"


def install(folder):
    """Node-RED's program, or None."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / f"installed-{VERSION}"
    if not done.exists():
        (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": {"node-red": VERSION}}))
        try:
            subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, timeout=240,
                           capture_output=True, check=True)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
            return None
        done.touch()
    return folder / "node_modules/node-red/red.js"


def prepare(work, broker):
    """The flow as shipped, with the port and the password that a user would enter."""
    flows = json.loads((SOURCE / "deploy/nodered/flows.json").read_text(encoding="utf-8"))
    node = next(f for f in flows if f["type"] == "mqtt-broker")
    node["port"] = str(broker.port)
    (work / "flows.json").write_text(json.dumps(flows))
    credentials = {node["id"]: {"user": "home", "password": broker.password("home")}}
    (work / "flows_cred.json").write_text(json.dumps(credentials))
    (work / "settings.js").write_text(SETTINGS)


def verdict(seq, result):
    return {"camera": "cam1", "stream": "00", "seq": seq, "part_id": f"p{seq}", "result": result}


def main():
    absent = missing("node", "npm", "mosquitto", "mosquitto_pub")
    if absent:
        print(f"skipped: no {', '.join(absent)}")
        return SKIP
    program = install(pathlib.Path(sys.argv[1]).resolve() / "nodered")
    if not program:
        print("skipped: node-red cannot be installed")
        return SKIP
    with tempfile.TemporaryDirectory(prefix="sl-nodered-") as folder, Broker(folder, "--camera", "cam1") as broker:
        work, port = pathlib.Path(folder) / "red", free_ports(1)[0]
        work.mkdir()
        prepare(work, broker)
        process = subprocess.Popen(["node", program, "-u", work, "-s", work / "settings.js", "-p", str(port)],
                                   stdout=open(work / "log", "w", encoding="utf-8"), stderr=subprocess.STDOUT)

        def ask():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/sightline", timeout=5) as answer:
                    return json.load(answer)
            except OSError:
                return None

        def publish(body):
            text = body if isinstance(body, str) else json.dumps(body)
            subprocess.run(["mosquitto_pub", *broker.login("cam1"), "-q", "1", "-t", "sightline/cam1/verdict", "-m",
                            text], check=True)

        def until(what, check, seconds=90):
            end = time.monotonic() + seconds
            while not check():
                assert time.monotonic() < end, f"{what}: {(work / 'log').read_text()[-3000:]}"
                time.sleep(0.3)

        try:
            until("Node-RED answers", ask)
            until("it is connected", lambda: "Connected to broker" in (work / "log").read_text())
            time.sleep(0.5)
            for body in ("{", "null", "[]", {"seq": "1", "result": "ng"}, verdict(1, "ok"), verdict(1, "ok"), verdict(2, "ng")):
                publish(body)
            until("two verdicts", lambda: ask()["cameras"].get("cam1", {}).get("parts") == 2)
            assert ask()["cameras"]["cam1"]["rejects"] == 0.5 and ask()["alarm"] is None
            for seq, result in ((3, "error"), (4, "ng")):
                publish(verdict(seq, result))
            until("the alarm", lambda: ask()["alarm"] == "3 rejects in a row, the last is part p4")
        finally:
            process.kill()
            process.wait(20)
    print("the flow counts, tells repeated verdicts and raises its alarm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
