#!/usr/bin/env python3
"""sightline-otad with a camera that inspects, from stick to serving, and everything that must not serve.

    agent_e2e.py BUILD
"""

import pathlib
import re
import signal
import subprocess
import sys
import unittest

from agent_world import MISSING, Factory, World

BUILD = pathlib.Path(sys.argv.pop()).resolve()


def edit(name, pattern, value):
    def change(folder):
        path = folder / name
        text = path.read_text()
        changed = re.sub(pattern, value, text)
        assert changed != text, (name, pattern)
        path.write_text(changed)
    return change


def find_nothing(folder):
    """Thresholds that nothing reaches, and golden pictures that expect just that."""
    edit("model.yaml", r"threshold: 0\.48", "threshold: 1.0")(folder)
    for path in (folder / "golden").glob("*.expect"):
        path.write_text("\n")


class Agent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.factory = f = Factory(BUILD)
        cls.addClassCleanup(f.made.cleanup)
        cls.one, cls.two = f.bundle("one.slb", "1.5"), f.bundle("two.slb", "1.6")
        cls.old = f.bundle("old.slb", "1.4")

    def world(self, **more):
        world = World(BUILD, self.factory, more.pop("first", self.one), **more)
        self.addCleanup(world.__exit__)
        return world

    def run_camera(self, world, **more):
        world.camera(**more)
        world.agent()
        return world

    def assert_old_serves(self, world, status):
        self.assertEqual((status["active"]["number"], status["pending"]), ("1.5", None))
        self.assertIsNone(world.daemon.poll())
        self.assertIsNone(world.otad.poll())

    def fails(self, bundle, result, words, **more):
        """A bundle that is fetched and tried in vain; it is not tried again."""
        world = self.run_camera(self.world(**more), defect_rate=1)
        world.insert(world.image(bundle))
        status = world.ends(result)
        self.assertIn(words, status["reason"])
        self.assert_old_serves(world, status)
        self.assertEqual(status["denied"], 1)
        world.insert(world.image(self.old))
        world.until(lambda: "refused: old" in world.log(), "an older one is refused")
        status = world.status()
        self.assertEqual(status["last_result"], result)
        self.assertIn(words, status["reason"], "a refusal is not why the last one ended")
        return world

    def test_bundles_that_are_not_fetched(self):
        f, world = self.factory, self.run_camera(self.world())
        world.insert(world.image(f.bundle("hardware.slb", "1.7", hardware="other"), self.old,
                                 f.bundle("signer.slb", "1.7", chain="other.slr", keys=("o1", "b")),
                                 f.bundle("few.slb", "1.8", keys=("a",))))
        for word in ("hardware: made for 'other'", "old: not newer", "root: ", "threshold: "):
            world.until(lambda: f"refused: {word}" in world.log(), word)
        status = world.status()
        self.assertEqual((status["phase"], status["last_result"]), ("idle", "none"))
        self.assert_old_serves(world, status)

    def test_a_new_bundle_serves_then_a_bad_one_is_refused_then_an_operator_goes_back(self):
        world = self.run_camera(self.world())
        world.insert(world.image(self.two))
        self.assertEqual(world.serves("1.6")["last_result"], "committed")
        # More frames than were asked for, where they come faster than they are counted.
        for step in ("fetching", "self-test passed", r"shadow passed: ([3-9]|\d\d+) frames", r"probation passed: \d+ frames"):
            self.assertRegex(world.log(), step)
        world.insert(world.image(self.old))
        world.until(lambda: "refused: old" in world.log(), "the old one is refused")
        self.assertEqual(world.status()["active"]["number"], "1.6")
        self.assertEqual(world.ask("rollback")[0], 7)
        self.assertEqual(world.serves("1.5")["last_result"], "reverted")
        world.insert(world.image(self.two))
        world.until(lambda: "refused: old: put aside" in world.log(), "what was left is not taken again")
        self.check_audit(world)

    def test_what_is_encrypted_serves_where_the_key_is_and_nowhere_else(self):
        self.factory.tool("keygen", "dev")
        bundle = self.factory.bundle("sealed.slb", "1.7", encrypt_for="dev.pub")
        world = self.run_camera(self.world(device_key=self.factory.at / "dev"))
        world.insert(world.image(bundle))
        self.assertEqual(world.serves("1.7")["last_result"], "committed")
        other = self.run_camera(self.world())
        other.insert(other.image(bundle))
        other.until(lambda: "key" in other.log(), "it is refused without the key")
        self.assertEqual(other.status()["active"]["number"], "1.5")

    def check_audit(self, world):
        def audit():
            return subprocess.run([BUILD / "sightline-slot", "audit", world.at / "audit"], capture_output=True, text=True)
        told = audit()
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("ended: committed", told.stdout)
        self.assertIn("the chain holds", told.stdout)
        with open(world.at / "audit", "r+b") as file:
            file.seek(512 + 100)
            file.write(b"?")
        self.assertEqual(audit().returncode, 1)

    def test_the_newest_of_several_serves_in_the_end(self):
        world = self.run_camera(self.world())
        world.insert(world.image(self.old, self.factory.bundle("three.slb", "2.1"), self.two))
        world.serves("2.1")

    def test_damage_on_the_stick(self):
        world = self.run_camera(self.world())
        damaged = self.factory.at / "damaged.slb"
        octets = bytearray(self.two.read_bytes())
        octets[-5000] ^= 1
        damaged.write_bytes(octets)
        world.insert(world.image(damaged))
        world.until(lambda: "is not what was signed" in world.log(), "damage is seen")
        self.assertEqual(world.status()["active"]["number"], "1.5")
        world.insert(world.image(self.two))  # the same bundle, whole
        world.serves("1.6")

    def test_wrong_tensor_shape(self):
        model = self.factory.model("shape", edit("model.yaml", "width: 640", "width: 320"))
        self.fails(self.factory.bundle("shape.slb", "1.7", model), "failed", "")

    def test_a_tensor_that_is_not_this_cameras_is_not_fetched(self):
        world = self.run_camera(self.world(tensor="float32:nchw:1x2x640x640"))
        world.insert(world.image(self.factory.bundle("small.slb", "1.7", tensor="float32:nchw:1x2x320x320"),
                                 self.factory.bundle("type.slb", "1.7", tensor="uint8:nchw:1x2x640x640"), self.two))
        for found in ("float32:nchw:1x2x320x320", "uint8:nchw:1x2x640x640"):
            words = f"refused: tensor: input tensor {found}; this camera expects float32:nchw:1x2x640x640"
            world.until(lambda w=words: w in world.log(), words)
        world.serves("1.6")
        world.settings["tensor"] = "float:nchw:1x2"
        world.otad.terminate()
        world.otad.wait(30)
        world.write_settings()
        done = subprocess.run([BUILD / "sightline-otad", world.at / "ota.yaml"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("tensor: expected TYPE:LAYOUT:DIMS as float32:nchw:1x2x640x640, found 'float:nchw:1x2'", done.stderr)

    def test_golden_pictures_that_differ(self):
        model = self.factory.model("golden", edit("golden/000000.expect", r"^\S+", "1"))
        world = self.fails(self.factory.bundle("golden.slb", "1.7", model), "failed", "golden picture")
        world.insert(world.image(self.factory.at / "golden.slb"))
        world.until(lambda: "refused: denied" in world.log(), "it is denied")

    def test_too_slow(self):
        model = self.factory.model("slow")
        self.fails(self.factory.bundle("slow.slb", "1.7", model, latency_ms=1), "failed", "latency")

    def test_detects_nothing(self):
        model = self.factory.model("blind", find_nothing)
        self.fails(self.factory.bundle("blind.slb", "1.7", model, shadow=20), "failed", "it finds none")

    def test_must_detect_set(self):
        model = self.factory.model("blind-site", find_nothing)
        site = self.factory.at / "site"
        site.mkdir()
        for number in range(2):
            stem = f"{number:06}"
            for end in ("test.jpg", "temp.jpg"):
                (site / f"{stem}_{end}").write_bytes((model / f"golden/{stem}_{end}").read_bytes())
        truth = (pathlib.Path(__file__).resolve().parents[2] / "deploy/models/pcb/golden/000000.expect").read_text()
        boxes = [[float(v) for v in line.split()] for line in truth.splitlines() if line.strip()]
        rows = [f"{b[0]:.0f} {b[1]:.0f} {b[2]:.0f} {b[3]:.0f} {b[4] + 1:.0f}\n" for b in boxes]
        (site / "000000.txt").write_text("".join([*rows, "3 3 30 30 1\n"]))  # the last, no model finds
        (site / "000001.txt").write_text("")
        n = len(rows)
        self.fails(self.factory.bundle("blind-site.slb", "1.7", model), "failed",
                   f"must-detect set: {n + 1} of {n + 1} objects missed, {n} of them found by the model that serves; the "
                   "first in 000000", must_detect=site)
        world = self.run_camera(self.world(must_detect=site))
        world.insert(world.image(self.two))
        world.serves("1.6")  # which misses what the old one misses

    def program(self, world, text):
        path = world.at / "self-test"
        path.write_text(f"#!/usr/bin/env python3\nimport os, signal, time\n{text}\n")
        path.chmod(0o755)
        world.settings["self_test"] = path
        return world

    def test_crashes(self):
        world = self.run_camera(self.program(self.world(), "os.kill(os.getpid(), signal.SIGSEGV)"))
        world.insert(world.image(self.two))
        status = world.ends("crashed")
        self.assertEqual(world.log().count("self-test: the self-test's process was killed by signal 11"), 3)
        self.assert_old_serves(world, status)
        self.assertEqual(status["denied"], 1)

    def test_hangs(self):
        world = self.run_camera(self.program(self.world(self_test_s=1), "time.sleep(1000)"))
        world.insert(world.image(self.two))
        self.assert_old_serves(world, world.ends("timed-out"))

    def test_stick_pulled_then_put_in_again(self):
        large = self.factory.bundle("large.slb", "1.7", self.factory.model("large", large=24 << 20))
        world = self.run_camera(self.world(slot_mib=32))
        image = world.image(large)
        for chunks in (0, 20, 60):
            reader = world.insert(image)
            world.until(lambda: world.status()["phase"] != "fetch" or world.status()["fetched"] > chunks, "it fetches")
            reader.send_signal(signal.SIGKILL)
            reader.wait()
            status = world.status()
            self.assertEqual(status["active"]["number"], "1.5")
        world.insert(image)
        world.serves("1.7")

    def test_agent_killed_at_any_step(self):
        steady = self.factory.bundle("steady.slb", "1.7", shadow=30, probation=30)
        world = self.run_camera(self.world())
        image = world.image(steady)
        world.insert(image)
        for phase in ("self-test", "shadow", "probation"):
            world.until(lambda: world.status()["phase"] == phase, phase)
            world.otad.kill()
            world.otad.wait()
            (world.at / "stick.sock").unlink()
            world.agent()
        self.assertEqual(world.serves("1.7")["denied"], 0)

    def test_camera_restarted_in_order_during_a_trial(self):
        steady = self.factory.bundle("orderly.slb", "1.7", shadow=40, probation=5)
        world = self.run_camera(self.world())
        world.insert(world.image(steady))
        world.until(lambda: world.status()["phase"] == "shadow", "shadow")
        world.daemon.terminate()
        self.assertEqual(world.daemon.wait(30), 0)
        self.assertEqual(world.status()["phase"], "shadow")
        world.camera()
        self.assertEqual(world.serves("1.7")["denied"], 0)

    def test_camera_that_dies_with_the_new_model_three_times(self):
        steady = self.factory.bundle("deadly.slb", "1.7", shadow=10000)
        world = self.run_camera(self.world())
        world.insert(world.image(steady))
        world.until(lambda: "shadow: 10000 frames" in world.log(), "shadow")
        while world.status()["phase"] == "shadow":  # one that dies before the agent knows it does not count
            world.until(lambda: world.status()["daemon"], "connected")
            world.daemon.kill()
            world.daemon.wait()
            (world.at / "control.sock").unlink()
            world.camera()
        status = world.ends("crashed")
        self.assertEqual((status["active"]["number"], status["denied"]), ("1.5", 1))
        self.assertEqual(world.log().count("sightline-otad: the camera daemon died"), 3)

    def test_state_areas_erased(self):
        world = self.run_camera(self.world())
        world.insert(world.image(self.two))
        world.serves("1.6")
        world.otad.terminate()
        self.assertEqual(world.otad.wait(30), 0)
        for area in ("sl-state-0", "sl-state-1"):
            path = world.slots / area
            path.write_bytes(bytes(path.stat().st_size))
        world.agent()
        status = world.serves("1.6")
        self.assertEqual((status["degraded"], status["last_result"]), (True, "state-lost"))

    def test_a_wall_clock_that_is_wrong(self):
        clock = BUILD / "tests/ota/ota_clock_preload.so"
        if "libasan" in subprocess.run(["ldd", BUILD / "sightline-otad"], capture_output=True, text=True).stdout:
            self.skipTest("a sanitizer has to be loaded first")
        order = self.factory.order("clock.slc", 1, self.two)
        for start, year in ((0, "1970-01-01"), (4102444800, "2100-01-01")):
            world = self.world()
            world.camera()
            world.agent(env={"LD_PRELOAD": str(clock), "TEST_CLOCK": str(start)})
            world.insert(world.image(self.two, order))
            self.assertEqual(world.serves("1.6")["last_result"], "committed")
            told = subprocess.run([BUILD / "sightline-slot", "audit", world.at / "audit"], capture_output=True, text=True)
            self.assertEqual(told.returncode, 0, told.stderr)
            self.assertIn(f" {year[:4]}-", told.stdout)
            self.assertIn("the chain holds", told.stdout)

    def test_no_slot_is_left(self):
        world = self.world()
        for slot in ("sl-model-a", "sl-golden"):
            with open(world.slots / slot, "r+b") as file:
                file.write(bytes(4096))
        world.agent()
        self.assertIn("SAFE MODE", world.log())
        self.assertIsNone(world.status()["active"])

    def test_waits_for_an_operator(self):
        world = self.run_camera(self.world(gate="on-demand"))
        world.ask("update")  # is for nothing that comes later
        world.insert(world.image(self.two))
        world.until(lambda: world.status()["waits"] == "on-demand", "armed")
        self.assertEqual(world.status()["active"]["number"], "1.5")
        world.ask("update")
        world.serves("1.6")

    def test_memory(self):
        world = self.run_camera(self.world())
        world.insert(world.image(self.two))
        world.serves("1.6")
        text = pathlib.Path(f"/proc/{world.otad.pid}/status").read_text()
        peak_mib = int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024
        print(f"agent: {peak_mib:.1f} MiB resident at most", file=sys.stderr)
        if "libasan" not in pathlib.Path(f"/proc/{world.otad.pid}/maps").read_text():
            self.assertLessEqual(peak_mib, 16)


if __name__ == "__main__":
    if MISSING:
        print("missing:", *MISSING)
        sys.exit(77)
    unittest.main()
