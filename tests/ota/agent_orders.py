#!/usr/bin/env python3
"""sightline-otad obeys the plant's orders and keeps catalogs: what runs, when, and what is refused.

    agent_orders.py BUILD
"""

import pathlib
import sys
import time
import unittest

from agent_world import MISSING, Factory, World

BUILD = pathlib.Path(sys.argv.pop()).resolve()


class Orders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.factory = f = Factory(BUILD)
        cls.addClassCleanup(f.made.cleanup)
        cls.old, cls.one, cls.two = f.bundle("old.slb", "1.4"), f.bundle("one.slb", "1.5"), f.bundle("two.slb", "1.6")
        cls.raising = f.bundle("raising.slb", "1.7", floor="1.7")

    def world(self, camera=True, rate=20, **more):
        world = World(BUILD, self.factory, more.pop("first", self.one), camera="cam1", **more)
        self.addCleanup(world.__exit__)
        if camera:
            world.camera(rate=rate)
        world.agent()
        return world

    def said(self, world, *words):
        for word in words:
            world.until(lambda w=word: w in world.log(), word)

    def test_only_what_an_order_names(self):
        f, world = self.factory, self.world(gate="order")
        world.insert(world.image(self.two, self.raising))
        self.said(world, "refused: order: no order names it")
        world.insert(world.image(self.two, self.raising, f.order("yes.slc", 3, self.two, cameras=("cam0", "cam1"))))
        self.assertEqual(world.serves("1.6")["order"], 3)
        self.said(world, "order 3 from the stick: bundle", "refused: order: order 3 names another bundle")
        world.restart_agent()
        self.assertEqual(world.serves("1.6")["order"], 3)

    def test_orders_that_are_refused(self):
        f, world = self.factory, self.world(gate="order")
        world.insert(world.image(f.order("nine.slc", 9, self.one)))
        self.said(world, "order 9 from the stick")
        torn = f.order("torn.slc", 12, self.two)
        torn.write_bytes(torn.read_bytes()[:-30])
        changed = f.order("changed.slc", 13, self.two)
        octets = bytearray(changed.read_bytes())
        octets[8] ^= 64  # its number
        changed.write_bytes(octets)
        world.insert(world.image(
            torn, changed, f.order("signer.slc", 14, self.two, keys=("a", "b")), f.order("unsigned.slc", 15, self.two, keys=()),
            f.order("other.slc", 16, self.two, cameras=("cam2", "cam10")), f.order("replayed.slc", 8, self.two),
            f.order("again.slc", 9, self.two), self.two))
        self.said(world, "refused: truncated: SLORDER1 12", "refused: signature", "refused: threshold: order: 0 of 1",
                  "order 16 from the stick is for others: the order does not name camera 'cam1'", "refused: old: number 8; order 9",
                  "refused: old: number 9; order 9")
        world.until(lambda: world.log().count("order from the stick refused: threshold") >= 2, "the wrong signer too")
        self.said(world, "order 9 names another bundle")
        status = world.status()
        self.assertEqual((status["active"]["number"], status["order"], status["phase"]), ("1.5", 9, "idle"))
        world.restart_agent()
        world.insert(world.image(f.at / "replayed.slc", self.two))
        world.until(lambda: world.log().count("refused: old: number 8") == 2, "it is refused after a restart too")
        self.assertEqual(world.status()["active"]["number"], "1.5")

    def test_an_older_bundle_only_where_it_is_permitted(self):
        f, world = self.factory, self.world()
        world.insert(world.image(self.old, f.order("plain.slc", 1, self.old)))
        self.said(world, "refused: old: not newer than what serves, and no order permits it")
        world.insert(world.image(self.old, self.two, f.order("lower.slc", 2, self.old, downgrade="1.5")))
        world.until(lambda: world.log().count("and no order permits it") == 2, "not so old")
        world.insert(world.image(self.raising, f.order("up.slc", 3, self.raising)))
        self.assertEqual(world.serves("1.7")["last_result"], "committed")  # and the floor is 1.7
        world.insert(world.image(self.old, f.order("high.slc", 4, self.old, downgrade="1.5")))
        self.said(world, "number 1.4 is below the floor 1.5")
        world.insert(world.image(self.old, self.two, f.order("down.slc", 5, self.old, downgrade="1.4")))
        world.serves("1.4")
        world.restart_agent()
        self.assertFalse(world.serves("1.4")["degraded"])
        world.insert(world.image(self.old, self.two, self.raising))
        self.said(world, "order 5 names another bundle")

    def test_an_order_drops_what_is_on_trial(self):
        f = self.factory
        world = self.world()
        world.insert(world.image(f.bundle("endless.slb", "1.8", shadow=100000)))
        world.until(lambda: world.status()["phase"] == "shadow", "shadow")
        world.insert(world.image(self.two, f.order("instead.slc", 1, self.two)))
        self.assertEqual(world.serves("1.6")["denied"], 0)
        self.said(world, "ended: abandoned: order 1 wants another bundle")

    def armed(self, world, waits):
        return world.until(lambda: world.status()["phase"] == "armed" and world.status()["waits"] == waits, f"waits: {waits}")

    def test_when_the_line_is_idle(self):
        world = self.world(idle_s=1)  # a part every 50 ms
        world.insert(world.image(self.two, self.factory.order("idle.slc", 1, self.two, when="line-idle")))
        self.armed(world, "line-idle")
        time.sleep(2.5)
        self.armed(world, "line-idle")
        world.restart_agent()
        self.armed(world, "line-idle")
        world.daemon.terminate()
        self.assertEqual(world.daemon.wait(30), 0)
        world.camera(rate=0.5)
        world.serves("1.6", 120)

    def test_the_setting_line_idle_needs_no_order(self):
        world = self.world(gate="line-idle", idle_s=1, rate=0.5)
        world.insert(world.image(self.two))
        world.serves("1.6", 120)

    def test_at_the_next_start(self):
        world = self.world()
        world.insert(world.image(self.two, self.factory.order("start.slc", 1, self.two, when="next-start")))
        self.armed(world, "next-start")
        world.restart_agent()  # the camera itself did not start
        self.armed(world, "next-start")
        world.daemon.terminate()
        self.assertEqual(world.daemon.wait(30), 0)
        world.camera()
        world.serves("1.6")

    def test_when_somebody_asks_and_when_somebody_refuses(self):
        f, world = self.factory, self.world()
        world.insert(world.image(self.two, f.order("asked.slc", 1, self.two, when="on-demand")))
        self.armed(world, "on-demand")
        world.ask("update")
        world.serves("1.6")
        world.insert(world.image(self.raising, f.order("second.slc", 2, self.raising, when="on-demand")))
        self.armed(world, "on-demand")
        world.ask("rollback")
        self.assertEqual(world.ends("abandoned")["active"]["number"], "1.6")
        world.restart_agent()
        self.assertEqual(world.status()["order"], 2)  # and it is over

    def test_catalogs_are_kept(self):
        f, world = self.factory, self.world()
        world.insert(world.image(f.catalog("c3.slc", 3, self.two, self.one, floor="1.3")))
        self.said(world, "catalog 3 from the stick: 2 bundles revoked, among them what serves")
        for restarts in range(2):
            status = world.status()
            self.assertEqual((status["catalog"], status["revoked"], status["active"]["number"]), (3, True, "1.5"))
            world.insert(world.image(self.two, f.order(f"two-{restarts}.slc", restarts + 1, self.two),
                                     f.catalog(f"c2-{restarts}.slc", 2), f.catalog(f"forged-{restarts}.slc", 9, keys=("a",))))
            world.until(lambda: world.log().count("refused: denied: revoked by catalog 3") == restarts + 1, "revoked")
            world.until(lambda: world.log().count("refused: threshold: catalog: 1 of 2") >= restarts + 1, "forged")
            world.restart_agent()
        world.insert(world.image(self.raising, f.order("way-out.slc", 9, self.raising)))
        self.assertFalse(world.serves("1.7")["revoked"])
        self.assertNotEqual(world.ask("rollback")[0], 7)  # the other slot holds what is revoked
        world.insert(world.image(f.catalog("c4.slc", 4, floor="1.9")))
        self.said(world, "catalog 4 from the stick")
        world.insert(world.image(f.bundle("late.slb", "1.8"), f.order("late.slc", 10, f.at / "late.slb")))
        self.said(world, "revoked by catalog 4, or below its floor")

    def test_a_catalog_drops_what_is_armed(self):
        world = self.world(gate="on-demand")
        world.insert(world.image(self.two))
        self.armed(world, "on-demand")
        world.insert(world.image(self.factory.catalog("drop.slc", 1, self.two)))
        world.ends("abandoned")
        self.said(world, "ended: abandoned: catalog 1 revokes it")

    def test_orders_for_others_are_no_refusals(self):
        f, world = self.factory, self.world(camera=False)
        orders = [f.order(f"others-{i:02}.slc", i, self.two, cameras=(f"x{i}",)) for i in range(1, 21)]
        for stick in range(2):
            world.insert(world.image(*orders, f.catalog(f"others-end-{stick}.slc", stick + 1)))
            self.said(world, f"catalog {stick + 1} from")
        self.assertTrue(1 <= world.log().count("is for others") <= 20, world.log())
        self.assertNotIn("refused", world.log())
        world.insert(world.image(*[f.order(f"unsigned-{i}.slc", 99, self.two, keys=(), cameras=(f"x{i}",)) for i in range(20)]))
        world.until(lambda: world.log().count("refused: threshold") >= 20, "they have left the budget alone")

    def test_no_document_washes_the_audit_log_out(self):
        f, world = self.factory, self.world(camera=False)
        for stick in range(3):
            world.insert(world.image(*[f.order(f"flood-{stick}-{i}.slc", 1, self.two, keys=(), cameras=(f"x{stick}-{i}",))
                                       for i in range(20)], f.catalog(f"end-{stick}.slc", stick + 1)))
            self.said(world, f"catalog {stick + 1} from")
        said = world.log().count("refused: threshold")
        self.assertTrue(32 <= said <= 35, f"{said} of 60 refusals are said; expected 32, and one a minute")


if __name__ == "__main__":
    if MISSING:
        print("missing:", *MISSING)
        sys.exit(77)
    unittest.main()
