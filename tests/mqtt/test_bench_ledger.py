#!/usr/bin/env python3
"""sightline bench --ledger: every verdict arrives, memory stays flat while the broker is away, wrong use is refused.

Usage: test_bench_ledger.py SIGHTLINE [--flat]
"""

import json
import subprocess
import sys
import tempfile


def bench(program, *options, code=0):
    run = subprocess.run([program, "bench", "--ledger", *options], capture_output=True, text=True, timeout=100)
    assert run.returncode == code, (options, run)
    return run.stdout if code == 0 else run.stderr


def speed(program, folder):
    result = json.loads(bench(program, "--folder", folder, "-n", "1000", "--rate", "200", "--seconds", "1", "--json"))
    assert result["verdicts"] == 1000 and result["timed"] == 200 and result["missing"] == 0, result
    assert result["per_s"] > 0 and 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"], result
    assert "a second" in bench(program, "--folder", folder, "-n", "100", "--seconds", "0.1")


def outage(program, folder, flat):
    result = json.loads(bench(program, "--folder", folder, "--outage", "5000", "--history-rate", "2000", "--json"))
    assert result["verdicts"] == 5000 and result["missing"] == 0, result
    assert result["overtaken"] > 2500, result  # the new verdict did not wait for the old ones
    assert result["history"] >= 4900 and result["replayed_s"] >= 2, result  # 5000 at 2000 a second
    assert len(result["resident_kib"]) == 10, result
    if flat:  # after SQLite has filled its cache; a sanitizer keeps what was freed
        assert result["resident_kib"][-1] - result["resident_kib"][5] < 1024, result


def refusals(program):
    for options, message in ((["--rate", "0"], "expected a number from 0.1"), (["--outage", "5"], "from 1000"),
                             (["-n", "many"], "found 'many'"), (["file"], "unexpected argument"),
                             (["--cpu", "-2"], "from -1")):
        assert message in bench(program, *options, code=2), options
    assert "/nonexistent: No such file" in bench(program, "--folder", "/nonexistent", code=1)


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="sl-bench-ledger-") as folder:
        speed(program, folder)
        outage(program, folder, "--flat" in sys.argv)
        refusals(program)
        left = subprocess.check_output(["ls", "-A", folder], text=True)
        assert left == "", left


main()
