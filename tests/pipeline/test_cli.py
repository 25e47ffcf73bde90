"""The command line tool as a user meets it: help, manual pages, exit statuses, and what watch and
status show of a real broker. Usage: test_cli.py BUILD_FOLDER."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build")
TOOL = BUILD / "sightline"
SKIPPED = 77
VERBS = ["accel", "run", "watch", "status", "check", "eval", "ledger", "bench", "model", "bundle", "slot", "simulate"]
ACTIONS = {"bundle": ["keygen", "rotate", "create", "sign", "verify", "show", "catalog", "order", "seed"],
           "model": ["convert", "info", "prune", "quantize", "report"],
           "slot": ["audit", "provision", "rollback", "state", "status", "update"]}
CONFIG = """schema: 1
cameras:
  - name: cam1
    source:
      type: line
      line:
        defect_rate: 0.5
    model:
      path: {model}
"""
HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e" + "long" * 100


def tool(*arguments, **more):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=60, **more)


def long_options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def page_text(name):
    return re.sub(r"\\f[BRI]", "", (SOURCE / "deploy/man" / name).read_text()).replace("\\-", "-")


def manual(name):
    text = page_text(name)
    return long_options(text[text.index(".SH OPTIONS"):text.index(".SH EXIT STATUS")])


class Help(unittest.TestCase):
    def test_every_verb_has_help(self):
        for verb in VERBS:
            with self.subTest(verb=verb):
                done = tool(verb, "--help")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(f"Usage: sightline {verb}", done.stdout)
                self.assertEqual(tool("help", verb).stdout, done.stdout)

    def test_the_list_names_every_verb(self):
        listed = re.findall(r"^  ([a-z]+) ", tool("--help").stdout, re.M)
        self.assertEqual(sorted(listed), sorted(VERBS))
        self.assertRegex(tool("--version").stdout, r"^sightline \d+\.\d+\.\d+\n$")

    def test_options_and_manual_pages_agree(self):
        for verb in VERBS:
            with self.subTest(verb=verb):
                listed = long_options(tool(verb, "--help").stdout)
                for mode in ("--pipeline", "--ledger") if verb == "bench" else ():
                    listed |= long_options(tool(verb, mode, "--help").stdout)
                for action in ACTIONS.get(verb, []):
                    listed |= long_options(tool(verb, action, "--help").stdout)
                self.assertEqual(listed, manual(f"sightline-{verb}.1"))
        daemon = subprocess.run([BUILD / "sightlined", "--help"], capture_output=True, text=True)
        self.assertEqual(long_options(daemon.stdout), manual("sightlined.8"))

    def test_manual_pages_are_correct_roff(self):
        groff = shutil.which("groff")
        if not groff:
            self.skipTest("groff is not installed")
        for page in sorted((SOURCE / "deploy/man").iterdir()):
            with self.subTest(page=page.name):
                done = subprocess.run([groff, "-man", "-Tascii", "-ww", "-z", page],
                                      capture_output=True, text=True)
                self.assertEqual(done.stderr, "")

    def test_the_manual_knows_every_key(self):
        example = (SOURCE / "config/camera.yaml.example").read_text()
        keys = set(re.findall(r"^[ #-]*([a-z][a-z0-9_]*):", example, re.M))
        page = page_text("camera.yaml.5")
        self.assertGreater(len(keys), 30)
        self.assertEqual([key for key in sorted(keys) if not re.search(rf"\b{key}\b", page)], [])

    def test_completion(self):
        script = SOURCE / "deploy/completion/sightline.bash"
        commands = (f'compopt() {{ :; }}; source {script}; COMP_WORDS=({TOOL} "$@"); '
                    'COMP_CWORD=$#; _sightline ' + str(TOOL) + '; echo "${COMPREPLY[@]}"')

        def complete(*words):
            done = subprocess.run(["bash", "-c", commands, "bash", *words],
                                  capture_output=True, text=True)
            self.assertEqual(done.stderr, "")
            return done.stdout.split()

        self.assertEqual(complete("st"), ["status"])
        self.assertEqual(complete("ch"), ["check"])
        self.assertEqual(complete("bundle", "ro"), ["rotate"])
        self.assertEqual(complete("bundle", "verify", "--ten"), ["--tensor="])
        self.assertEqual(complete("watch", "--pa"), ["--password-file="])
        self.assertIn("--pictures=", complete("bench", "--pipeline", "--pi"))


class Usage(unittest.TestCase):
    def test_unknown_verbs(self):
        done = tool("wacth")
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean 'watch'?", done.stderr)
        for verb in ["zzzzzzzz", "", "../sightlined", "-x", "x" * 500]:
            done = tool(verb)
            self.assertEqual(done.returncode, 2, verb)
            self.assertNotIn("did you mean", done.stderr)
        self.assertEqual(tool().returncode, 2)

    def test_wrong_options(self):
        for arguments in [["watch", "--port", "0"], ["watch", "--port", "70000"],
                          ["watch", "--count", "-1"], ["watch", "--timeout", "soon"],
                          ["watch", "extra"], ["status", "--nothing"], ["status", "extra"],
                          ["check"], ["check", "a", "b"], ["run"], ["run", "--parts", "0", "x"],
                          ["model"], ["model", "delete", "x"], ["eval"], ["simulate"]]:
            with self.subTest(arguments=arguments):
                done = tool(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertNotEqual(done.stderr, "")
                self.assertEqual(done.stdout, "")


class Check(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name) / "camera.yaml"

    def check(self, text, *options):
        self.path.write_text(text)
        return tool("check", *options, self.path)

    def test_good(self):
        text = CONFIG.format(model=SOURCE / "deploy/models/pcb")
        done = self.check(text)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("ok, 1 camera", done.stdout)
        self.assertEqual(json.loads(self.check(text, "--json").stdout),
                         {"file": str(self.path), "ok": True, "cameras": 1})

    def test_bad(self):
        text = CONFIG.format(model=SOURCE / "deploy/models/pcb").replace("0.5", "1.5")
        done = self.check(text)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"camera\.yaml:7: .*defect_rate")
        report = json.loads(self.check(text, "--json").stdout)
        self.assertFalse(report["ok"])
        self.assertIn("defect_rate", report["error"])

    def test_absent(self):
        for verb in ["check", "run"]:
            done = tool(verb, self.path)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("camera.yaml", done.stderr)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def mosquitto():
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Broker(unittest.TestCase):
    """Retained messages stand in for a daemon: they come as soon as somebody subscribes."""

    def setUp(self):
        if not mosquitto() or not shutil.which("mosquitto_pub"):
            self.skipTest("mosquitto and mosquitto_pub are not installed")
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.port = free_port()
        folder = pathlib.Path(self.folder.name)
        users = folder / "users"
        users.touch(mode=0o600)
        subprocess.run(["mosquitto_passwd", "-b", users, "viewer", "right"], check=True,
                       capture_output=True)
        (folder / "right").write_text("right\n")
        (folder / "wrong").write_text("wrong\n")
        config = folder / "mosquitto.conf"
        config.write_text(f"user {os.environ.get('USER', 'root')}\nlistener {self.port} 127.0.0.1\n"
                          f"allow_anonymous true\npassword_file {users}\n")
        broker = subprocess.Popen([mosquitto(), "-c", config], stderr=subprocess.DEVNULL)
        self.addCleanup(broker.wait)
        self.addCleanup(broker.terminate)
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        self.fail("the broker does not start")

    def tool(self, verb, *options):
        return tool(verb, "--port", str(self.port), *options)

    def publish(self, topic, payload):
        subprocess.run(["mosquitto_pub", "-p", str(self.port), "-r", "-q", "1", "-s", "-t",
                        f"sightline/{topic}"], input=payload, check=True)

    def verdict(self, camera, result, reasons, part="part-1"):
        self.publish(f"{camera}/verdict", json.dumps({
            "schema": 1, "camera": camera, "result": result, "part_id": part,
            "latency_ms": 12.5, "reasons": reasons}, ensure_ascii=False).encode())

    def health(self, camera, state, reasons=()):
        self.publish(f"{camera}/status", b"online")
        self.publish(f"{camera}/info", b"{}")
        self.publish(f"{camera}/health",
                     json.dumps({"state": state, "reasons": list(reasons)}).encode())


class Status(Broker):
    def test_exit_status_is_the_worst_camera(self):
        self.health("cam1", "good")
        done = self.tool("status")
        self.assertEqual((done.returncode, done.stdout.split()), (0, ["cam1", "good"]))
        self.health("cam2", "degraded", ["clock unsynced", "slow"])
        done = self.tool("status")
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stdout, r"cam2 +degraded +clock unsynced; slow")
        self.health("cam3", "fault", ["camera lost"])
        self.assertEqual(self.tool("status").returncode, 4)
        self.assertEqual(self.tool("status", "--camera", "cam1").returncode, 0)

    def test_offline(self):
        self.health("cam1", "good")
        self.publish("cam1/status", b"offline")
        done = self.tool("status", "--json")
        self.assertEqual(done.returncode, 4)
        self.assertEqual(json.loads(done.stdout)["cam1"]["state"], "offline")

    def test_a_camera_that_says_only_its_status(self):
        self.health("cam1", "good")
        self.publish("cam2/status", b"online")
        done = self.tool("status")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"cam2 +online")
        self.publish("cam2/status", b"offline")
        self.assertEqual(self.tool("status").returncode, 4)

    def test_a_camera_without_health(self):
        self.publish("cam1/status", b"online")
        self.publish("cam1/info", b"{}")
        self.assertEqual(self.tool("status").returncode, 4)

    def test_broken_messages(self):
        for health in [b" ", b"{", b"[]", b'{"state": 3}', b'{"state": "good', b"\xff\x00\x1b[2J"]:
            self.publish("cam1/info", b"{}")
            self.publish("cam1/health", health)
            done = self.tool("status", "--timeout", "0.3")
            self.assertEqual(done.returncode, 4, health)
            self.assertNotIn("\x1b", done.stdout)

    def test_nothing_heard(self):
        done = self.tool("status", "--timeout", "0.3")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("no camera below 'sightline'", done.stderr)

    def test_refused(self):
        password = pathlib.Path(self.folder.name)
        done = self.tool("status", "--username", "viewer", "--password-file", password / "wrong")
        self.assertEqual(done.returncode, 1)
        self.assertIn("uthori", done.stderr)
        done = self.tool("status", "--username", "viewer", "--password-file", password / "none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot be read", done.stderr)
        self.health("cam1", "good")
        done = self.tool("status", "--username", "viewer", "--password-file", password / "right")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_unreachable(self):
        for verb in ["status", "watch"]:
            done = tool(verb, "--port", str(free_port()))
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("efused", done.stderr)


class Watch(Broker):
    def test_lines(self):
        self.verdict("cam1", "ok", [])
        self.verdict("cam2", "ng", ["short: 2", "open: 1"])
        done = self.tool("watch", "--count", "2", "--timeout", "20")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = sorted(done.stdout.splitlines())
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[0], r"^cam1 +part-1 +OK +12\.5 ms")
        self.assertRegex(lines[1], r"^cam2 +part-1 +NG +12\.5 ms +short: 2, open: 1$")

    def test_json_is_one_line_each(self):
        self.publish("cam1/verdict", b'{"result":\r\n "ok"}\n')
        done = self.tool("watch", "--count", "1", "--timeout", "20", "--json")
        self.assertEqual(done.returncode, 0)
        self.assertEqual([json.loads(line) for line in done.stdout.splitlines()],
                         [{"result": "ok"}])

    def test_time_out(self):
        started = time.monotonic()
        self.assertEqual(self.tool("watch", "--timeout", "0.5").returncode, 1)
        self.assertLess(time.monotonic() - started, 10)

    def test_hostile_text(self):
        self.verdict("cam1", HOSTILE, [HOSTILE], HOSTILE)
        self.publish("cam2/verdict", b"\x1b[2J\x07")
        # What is no JSON object is shown to people, and is nothing to who reads JSON.
        for count, options in [("2", []), ("1", ["--json"])]:
            done = self.tool("watch", "--count", count, "--timeout", "20", *options)
            self.assertEqual(done.returncode, 0)
            self.assertFalse(set(done.stdout) & set("\x1b\x07\x9b\x7f"), options)
        self.publish("cam2/verdict", b'{"result": "ok"} and more')
        self.publish("cam2/verdict", b'[{"result": "ok"}]')
        done = self.tool("watch", "--count", "2", "--timeout", "2", "--json")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stdout.splitlines()), 1)

    def test_hostile_health_as_json(self):
        self.publish("cam1/health", b'{"state": "good", "reasons": ["\x7f\xc2\x9b"]}')
        done = self.tool("status", "--json", "--timeout", "2")
        self.assertFalse(set(done.stdout) & set("\x7f\x9b"), done.stdout)
        self.assertEqual(json.loads(done.stdout)["cam1"]["health"]["reasons"], ["\x7f\x9b"])

    def on_terminal(self, *options):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv(TOOL, ["sightline", "watch", "--port", str(self.port), *options])
        return pid, terminal

    def read_until(self, terminal, text):
        seen = b""
        until = time.monotonic() + 20
        while time.monotonic() < until and not re.search(text, seen):
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    seen += os.read(terminal, 65536)
                except OSError:  # closed
                    break
        return seen

    def test_table(self):
        self.health("cam1", "degraded", ["clock unsynced"])
        self.verdict("cam1", "ng", [HOSTILE], HOSTILE)
        pid, terminal = self.on_terminal()
        try:
            seen = self.read_until(terminal, rb"cam1 +1 +0 +1 +0 +12\.5 ms +degraded clock")
            self.assertIn(b"degraded clock unsynced", seen)
            left = seen.replace(b"\x1b[H\x1b[2J", b"")
            self.assertNotRegex(left, rb"[\x1b\x07\x9b]")
            os.kill(pid, 15)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
            pid = 0
        finally:
            os.close(terminal)
            if pid:
                os.kill(pid, 9)
                os.waitpid(pid, 0)


if __name__ == "__main__":
    if not TOOL.exists():
        print(f"{TOOL} is not built")
        sys.exit(SKIPPED)
    unittest.main()
