"""Sparkplug B payloads for the tests: a reader and a writer of their own, and npm's reader beside them."""

import json
import pathlib
import shutil
import struct
import subprocess

from mqttproxy import varint

VERSION = "1.0.3"
DECODE = """
const reader = require('sparkplug-payload').get('spBv1.0');
const plain = (k, v) => typeof v === 'bigint' || (v && v.constructor && v.constructor.name === 'Long') ? Number(v) : v;
let all = '';
process.stdin.on('data', d => all += d).on('end', () => {
  for (const line of all.split('\\n').filter(l => l !== '-'))
    if (line !== '' || all.length) try {
      if (line === '') continue;
      console.log(JSON.stringify(reader.decodePayload(Buffer.from(line, 'hex')), plain));
    } catch (e) { console.log(JSON.stringify({error: String(e)})); }
});
"""


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 1:
            value, at = data[at:at + 8], at + 8
        elif kind == 5:
            value, at = data[at:at + 4], at + 4
        else:
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        yield key >> 3, value


def metric(data):
    m = {"historical": False, "null": False}
    for field, value in fields(data):
        if field == 1:
            m["name"] = value.decode()
        elif field in (2, 3, 4):
            m[{2: "alias", 3: "timestamp", 4: "type"}[field]] = value
        elif field in (5, 7):
            m[{5: "historical", 7: "null"}[field]] = bool(value)
        elif field == 9:
            m["properties"] = properties(value)
        elif field == 11:
            m["value"] = value
        elif field == 13:
            m["value"] = struct.unpack("<d", value)[0]
        elif field == 14:
            m["value"] = bool(value)
        elif field == 15:
            m["value"] = value.decode()
        else:
            raise AssertionError(f"field {field} of a metric")
    return m


def properties(data):
    keys, values = [], []
    for field, value in fields(data):
        if field == 1:
            keys.append(value.decode())
        else:
            values.append(dict(fields(value)))
    return keys, values


def decode(data):
    payload = {"metrics": []}
    for field, value in fields(data):
        if field == 2:
            payload["metrics"].append(metric(value))
        else:
            payload[{1: "timestamp", 3: "seq", 4: "uuid", 5: "body"}[field]] = value
    return payload


def number(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def command(name, value, timestamp_ms):
    """A payload that sets one boolean metric."""
    body = b"\x0a" + number(len(name)) + name.encode() + b"\x18" + number(timestamp_ms) + b"\x20\x0b\x70" + \
        number(int(value))
    return b"\x08" + number(timestamp_ms) + b"\x12" + number(len(body)) + body


def install(folder):
    """npm's package in that folder, or None."""
    folder = pathlib.Path(folder)
    if not shutil.which("npm") or not shutil.which("node"):
        return None
    package = folder / "node_modules/sparkplug-payload"
    if not package.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(
            json.dumps({"private": True, "dependencies": {"sparkplug-payload": VERSION}}))
        try:
            subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, timeout=60,
                           capture_output=True, check=False)
        except subprocess.TimeoutExpired:
            return None
    return folder if package.exists() else None


def decode_by_npm(folder, payloads):
    """What sparkplug-payload makes of each; {'error': …} where it cannot."""
    run = subprocess.run(["node", "-e", DECODE], cwd=folder, input="\n".join(p.hex() for p in payloads if p),
                         capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]
