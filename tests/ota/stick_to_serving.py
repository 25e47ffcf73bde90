#!/usr/bin/env python3
"""How long from a stick that is put in to the new model that serves, self-test and shadow included.

    stick_to_serving.py [--mib N] [--limit S] [--loop] BUILD

Slots, state and stick are files, or with --loop block devices over files, for which the kernel must let root attach
loop devices. Probation begins when the new model serves, and does not count.
"""

import argparse
import pathlib
import re
import sys
import time

from agent_world import MISSING, Factory, World


def measure(o, factory):
    first = factory.bundle("first.slb", "1.1")
    large = factory.bundle("large.slb", "1.2", factory.model("large", large=(o.mib << 20) - (2 << 20)), shadow=10,
                           probation=10)
    with World(o.build.resolve(), factory, first, slot_mib=o.mib + 8, loops=o.loop) as world:
        world.camera(rate=30)
        world.agent()
        image = world.image(large)
        begin = time.monotonic()
        times = {}
        world.insert(image)
        for words in ("fetching", "self-test begins", "self-test passed", "swap: serves"):
            world.until(lambda w=words: w in world.log(), words, 120)
            times[words] = time.monotonic() - begin
        world.serves("1.2", 120)
        peak = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{world.otad.pid}/status").read_text())[1]
    return times, peak


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=64, help="size of the bundle")
    parser.add_argument("--limit", type=float, default=0, help="fail if it takes longer, in seconds")
    parser.add_argument("--loop", action="store_true", help="on loop devices")
    parser.add_argument("build", type=pathlib.Path)
    o = parser.parse_args()
    if MISSING:
        print("missing:", *MISSING)
        return 77
    factory = Factory(o.build.resolve())
    with factory.made:
        try:
            times, peak = measure(o, factory)
        except OSError as problem:
            print(f"no loop devices here: {problem}")
            return 77
    seconds = times["swap: serves"]
    print(f"{o.mib} MiB: ", end="")
    print(", ".join(f"{words} after {at:.2f} s" for words, at in times.items()))
    print(f"stick to serving {seconds:.2f} s; agent at most {int(peak) / 1024:.1f} MiB resident")
    return 1 if o.limit and seconds > o.limit else 0


if __name__ == "__main__":
    sys.exit(main())
