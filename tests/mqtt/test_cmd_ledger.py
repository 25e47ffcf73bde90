#!/usr/bin/env python3
"""sightline ledger against a ledger with ok, ng and error parts: filters, CSV, tampering, replay.

Usage: test_cmd_ledger.py SIGHTLINE MAKE_LEDGER
"""

import csv
import io
import json
import pathlib
import sqlite3
import subprocess
import sys
import tempfile


def main():
    program, maker = sys.argv[1], sys.argv[2]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sl-cmd-ledger-"))
    subprocess.run([maker, folder], check=True)

    def ledger(*arguments, code=0):
        run = subprocess.run([program, "ledger", *arguments, "--ledger", str(folder)],
                             capture_output=True, timeout=20)
        assert run.returncode == code, (arguments, run)
        return (run.stdout if code == 0 else run.stderr).decode("utf-8")

    def records(*arguments):
        return [json.loads(line) for line in ledger("export", *arguments).splitlines()]

    everything = records()
    assert [r["body"]["seq"] for r in everything] == list(range(1, 31))
    assert {r["body"]["result"] for r in records("--result", "ng")} == {"ng"}
    assert len(records("--result", "ng")) == len(records("--class", "short")) == 10
    assert not records("--class", "shor") and not records("--class", "%")
    assert [r["body"]["seq"] for r in records("--part", "=cmd()")] == [7]
    assert [r["body"]["seq"] for r in records("-n", "2")] == [29, 30]
    assert len(records("--since", "2026-01-31T00:00:10Z", "--until", "2026-01-31T00:00:20Z")) == 10
    assert not records("--since", "2027-01-01") and not records("--camera", "cam2")
    rows = list(csv.reader(io.StringIO(ledger("export", "--format", "csv"))))
    assert len(rows) == 31 and rows[0][:4] == ["id", "time", "camera", "seq"]
    assert rows[7][4] == "'=cmd()" and rows[8][4] == 'a "quoted", part', rows[7:9]
    listed = ledger("list")
    assert len(listed.splitlines()) == 21 and "\x1b" not in listed
    assert json.loads(ledger("verify", "--json")) == {"whole": True, "records": 30, "error": None}

    db = sqlite3.connect(folder / "ledger.db")
    pending = "SELECT count(*) FROM record WHERE state = 0"
    db.execute("UPDATE record SET state = 1")
    db.commit()
    assert ledger("replay", "--result", "error") == "10 records go again\n"
    assert db.execute(pending).fetchone() == (10,)
    assert "30 records" in ledger("verify")
    db.execute("UPDATE record SET result = 1 WHERE id = 4")
    db.commit()
    assert "record 5" in ledger("verify", code=1)
    db.execute("PRAGMA user_version = 5")
    db.commit()
    assert "version 1" in ledger("list", code=1)
    db.close()

    for wrong in (["delete"], ["list", "--since", "yesterday"], ["list", "--result", "bad"],
                  ["list", "-n", "0"], ["list", "-n", "x"], ["export", "--format", "xml"], []):
        ledger(*wrong, code=2)
    (folder / "ledger.db").write_bytes(b"not a database" * 100)
    ledger("list", code=1)
    (folder / "ledger.db").unlink()
    assert "expected a ledger that can be read" in ledger("verify", code=1)
    print("filters, CSV, tampering, replay and refusals as they should be")


if __name__ == "__main__":
    main()
