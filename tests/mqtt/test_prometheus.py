#!/usr/bin/env python3
"""deploy/prometheus for real: a camera's metrics through broker and exporter into Prometheus, and the
alarm rules. Usage: test_prometheus.py"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
from brokers import SKIP, SOURCE, Broker, free_ports, missing  # noqa: E402

FOLDER = SOURCE / "deploy/prometheus"
METRICS = {"parts_total": 100, "ok_total": 95, "ng_total": 4, "error_total": 1, "frames_total": 100,
           "camera_restarts_total": 0, "infer_ms_p50": 3.5, "infer_ms_p99": 5, "latency_ms_p50": 9,
           "latency_ms_p99": 14.25, "queue_depth": 0, "ledger_depth": 0, "ledger_bytes": 4096, "refused_total": 0,
           "dropped_total": 2}
RULES = """
rule_files: [sightline.rules.yml]
evaluation_interval: 10s
tests:
  - interval: 10s
    input_series:
      - {series: 'sightline_parts_total{sensor="cam1"}', values: '0+10x120'}
      - {series: 'sightline_ng_total{sensor="cam1"}', values: '0+3x120'}
      - {series: 'sightline_error_total{sensor="cam1"}', values: '0+0x120'}
      - {series: 'sightline_parts_total{sensor="cam2"}', values: '0+10x120'}
      - {series: 'sightline_ng_total{sensor="cam2"}', values: '0+1x120'}
      - {series: 'sightline_error_total{sensor="cam2"}', values: '0+0x120'}
      - {series: 'sightline_parts_total{sensor="cam3"}', values: '0+10x40'}
    alert_rule_test:
      - eval_time: 18m
        alertname: SightlineManyRejects
        exp_alerts:
          - exp_labels: {severity: warning, sensor: cam1}
            exp_annotations: {summary: "cam1 rejects 30% of the parts"}
      - eval_time: 18m
        alertname: SightlineSilent
        exp_alerts:
          - exp_labels: {severity: critical, sensor: cam3}
            exp_annotations: {summary: "cam3 says nothing"}
      - {eval_time: 18m, alertname: SightlineErrors, exp_alerts: []}
"""


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def until(what, check, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


def check_rules(work):
    rules = (FOLDER / "sightline.rules.yml").read_text(encoding="utf-8")
    (work / "sightline.rules.yml").write_text(rules, encoding="utf-8")
    (work / "rules.test.yml").write_text(RULES, encoding="utf-8")
    subprocess.run(["promtool", "check", "config", FOLDER / "prometheus.yml"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["promtool", "test", "rules", "rules.test.yml"], cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def start_exporter(work, broker, port):
    text = (FOLDER / "mqtt-exporter.yaml").read_text(encoding="utf-8")
    text, changed = re.subn("127.0.0.1:1883", f"127.0.0.1:{broker.port}", text)
    assert changed == 1
    (work / "exporter.yaml").write_text(text, encoding="utf-8")
    login = {"MQTT2PROM_MQTT_USER": "viewer", "MQTT2PROM_MQTT_PASSWORD": str(broker.folder / "passwords/viewer")}
    return subprocess.Popen(["prometheus-mqtt-exporter", "-config", work / "exporter.yaml", "-listen-address", "127.0.0.1",
                             "-listen-port", str(port), "-treat-mqtt-password-as-file-name"],
                            env=dict(os.environ, **login), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def start_prometheus(work, exporter, port):
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:9641", f"127.0.0.1:{exporter}").replace("10s", "1s")
    (work / "prometheus.yml").write_text(text, encoding="utf-8")
    return subprocess.Popen(["prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/data",
                             f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def main():
    absent = missing("mosquitto", "mosquitto_passwd", "mosquitto_pub", "prometheus", "promtool",
                     "prometheus-mqtt-exporter")
    if absent:
        print(f"skipped: no {', '.join(absent)}")
        return SKIP
    processes = []
    with tempfile.TemporaryDirectory(prefix="sl-prometheus-") as folder:
        work = pathlib.Path(folder)
        check_rules(work)
        with Broker(work, "--camera", "cam1") as broker:
            exporter, prometheus = free_ports(2)
            try:
                processes += [start_exporter(work, broker, exporter), start_prometheus(work, exporter, prometheus)]
                subprocess.run(["mosquitto_pub", *broker.login("cam1"), "-r", "-t", "sightline/cam1/metrics", "-m",
                                json.dumps(METRICS)], check=True)
                until("the exporter has it", lambda: 'sensor="cam1"' in get(f"http://127.0.0.1:{exporter}/metrics"))
                shown = dict(re.findall(r'^(sightline_\w+)\{sensor="cam1".*\} (\S+)',
                                        get(f"http://127.0.0.1:{exporter}/metrics"), re.M))
                assert len(shown) == len(METRICS), shown
                assert float(shown["sightline_latency_p99_milliseconds"]) == 14.25

                def stored():
                    query = urllib.parse.urlencode({"query": 'sightline_ng_total{sensor="cam1"}'})
                    result = json.loads(get(f"http://127.0.0.1:{prometheus}/api/v1/query?{query}"))["data"]["result"]
                    return result and result[0]["value"][1] == "4"

                until("Prometheus has it", stored)
            finally:
                for process in processes:
                    process.kill()
                    process.wait(20)
    print(f"{len(METRICS)} metrics from the camera to Prometheus")
    return 0


if __name__ == "__main__":
    sys.exit(main())
