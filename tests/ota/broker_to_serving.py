#!/usr/bin/env python3
"""A bundle from the plant's broker serves, and one that nobody may sign does not.

    broker_to_serving.py BUILD

The broker package of deploy/mosquitto with its accounts and access list, `sightline bundle seed`, the update
agent and a camera that inspects simulated boards."""

import pathlib
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tests/mqtt"))
from agent_world import MISSING, Factory, World  # noqa: E402
from brokers import SKIP, Broker, missing  # noqa: E402


def seed(build, broker, bundle):
    return subprocess.Popen([build / "sightline-bundle", "seed", bundle, "--port", str(broker.port), "--username",
                             "seeder", "--password-file", broker.folder / "passwords/seeder", "--idle", "60"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def run(build, factory, broker):
    first = factory.bundle("first.slb", "1.1")
    new = factory.bundle("new.slb", "1.2")
    forged = factory.bundle("forged.slb", "1.3", chain="other.slr", keys=("o1", "b"))
    settings = {"camera": "cam1",
                "broker": f"{{host: 127.0.0.1, port: {broker.port}, username: cam1, "
                          f"password_file: {broker.folder / 'passwords/cam1'}}}"}
    with World(build, factory, first, **settings) as world:
        world.camera()
        world.agent()
        seeder = seed(build, broker, forged)
        try:
            world.until(lambda: "refused" in world.log(), "the forged bundle is refused")
        finally:
            seeder.kill()
            seeder.wait()
        assert world.status()["active"]["number"] == "1.1", world.status()
        begin = time.monotonic()
        seeder = seed(build, broker, new)
        try:
            world.until(lambda: "swap: serves" in world.log(), "the new model serves", 90)
            seconds = time.monotonic() - begin
            world.serves("1.2", 90)
        finally:
            seeder.kill()
            seeder.wait()
        peak = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{world.otad.pid}/status").read_text())[1])
        print(f"seeded bundle serves after {seconds:.2f} s; agent at most {peak / 1024:.1f} MiB resident")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    lacking = list(missing("mosquitto", "mosquitto_passwd") or []) + list(MISSING)
    if lacking:
        print("missing:", *lacking)
        return SKIP
    factory = Factory(build)
    with factory.made, tempfile.TemporaryDirectory() as folder:
        with Broker(folder, "--camera", "cam1") as broker:
            run(build, factory, broker)
    return 0


sys.exit(main())
