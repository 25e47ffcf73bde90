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


def command(build, broker, file, *more):
    return [build / "sightline-bundle", "seed", file, "--port", str(broker.port), "--username", "seeder",
            "--password-file", broker.folder / "passwords/seeder", *more]


def seed(build, broker, bundle):
    return subprocess.Popen(command(build, broker, bundle, "--idle", "60"), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def give(build, broker, document, *more, status=0):
    done = subprocess.run(command(build, broker, document, *more), capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stderr


def orders(build, factory, broker, world):
    """An order pins a bundle; catalogs stay after the broker has let go of them."""
    third, fourth = factory.bundle("third.slb", "1.4"), factory.bundle("fourth.slb", "1.5")
    torn = factory.order("torn.slc", 9, fourth)
    torn.write_bytes(torn.read_bytes()[:-20])
    assert "truncated" in give(build, broker, torn, status=1)
    assert "--withdraw takes a catalog" in give(build, broker, third, "--withdraw", status=1)
    order = factory.order("third.slc", 7, third)
    for option in ("--json", "--cameras=2", "--idle=5", "--rate=0"):
        words = f"third.slc: {option.split('=')[0]} is for bundles"
        assert words in give(build, broker, order, option, status=1), words
    give(build, broker, factory.order("others.slc", 8, fourth, cameras=("cam2",)))
    give(build, broker, factory.catalog("c1.slc", 1, fourth))
    give(build, broker, order)
    for words in ("is for others: the order does not name camera 'cam1'", "catalog 1 from the broker", "order 7 from the broker"):
        world.until(lambda w=words: w in world.log(), words)
    give(build, broker, factory.at / "c1.slc", "--withdraw")
    give(build, broker, order, "--withdraw")
    world.restart_agent()
    seeders = [seed(build, broker, fourth), seed(build, broker, third)]
    try:
        assert world.serves("1.4", 90)["order"] == 7
        world.until(lambda: "revoked by catalog 1" in world.log(), "what is revoked is refused")
    finally:
        for seeder in seeders:
            seeder.kill()
            seeder.wait()


def alarms(build, factory, broker, world):
    """A model that fails is an alarm of the camera, until a later one is committed."""
    golden = factory.model("golden", lambda at: (at / "golden/000000.expect").write_text("1 1 9 9 1 0.9\n"))
    failing, good = factory.bundle("failing.slb", "1.6", golden), factory.bundle("good.slb", "1.7")
    heard = world.start("mosquitto_sub", *broker.login("viewer"), "-t", "sightline/cam1/alarm", log="alarms")
    for number, (bundle, state) in enumerate(((failing, "raised"), (good, "cleared"))):
        give(build, broker, factory.order(f"alarm-{number}.slc", 20 + number, bundle))
        seeder = seed(build, broker, bundle)
        try:
            world.until(lambda s=state: f'"kind":"model","state":"{s}"' in world.log("alarms"), f"alarm: {state}", 90)
        finally:
            seeder.kill()
            seeder.wait()
    assert "the new model was rolled back: it failed: golden picture" in world.log("alarms"), world.log("alarms")
    heard.kill()


def announces(broker, world):
    """The camera names the commands that need an agent."""
    heard = world.start("mosquitto_sub", *broker.login("viewer"), "-t", "sightline/cam1/info", log="info")
    world.until(lambda: '"update"' in world.log("info") and '"rollback"' in world.log("info"), "info names update and rollback")
    heard.kill()


def run(build, factory, broker):
    first = factory.bundle("first.slb", "1.1")
    new = factory.bundle("new.slb", "1.2")
    forged = factory.bundle("forged.slb", "1.3", chain="other.slr", keys=("o1", "b"))
    settings = {"camera": "cam1",
                "broker": f"{{host: 127.0.0.1, port: {broker.port}, username: cam1, "
                          f"password_file: {broker.folder / 'passwords/cam1'}}}"}
    with World(build, factory, first, **settings) as world:
        world.camera(name="cam1", broker=settings["broker"])
        world.agent()
        announces(broker, world)
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
        orders(build, factory, broker, world)
        alarms(build, factory, broker, world)
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
