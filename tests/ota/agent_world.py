"""A camera with its update agent, slots in files and sticks in files; for the tests of sightline-otad."""

import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import tempfile
import time

try:
    from jsonschema import Draft202012Validator
except ImportError:  # only some of the Pythons on a machine have it
    Draft202012Validator = None

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MODEL = SOURCE / "deploy/models/pcb"
STATE = Draft202012Validator and Draft202012Validator(json.loads((SOURCE / "mqtt/schema/model-state.json").read_text()))
MISSING = [tool for tool in ("mkfs.vfat", "mcopy", "mmd") if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin")]
ASK, TEXT_AT, TEXT = 12, 80, 1024  # ota/control.h


class Factory:
    """Keys, and bundles that are made once."""

    def __init__(self, build):
        self.made = tempfile.TemporaryDirectory()
        self.at, self.bundle_tool = pathlib.Path(self.made.name), build / "sightline-bundle"
        self.tool("keygen", "r1", "r2", "a", "b", "o1", "line")
        self.root("1.slr", "r1", "r2", "a", "b")
        self.root("other.slr", "o1", "r2", "o1", "b")

    def tool(self, *arguments):
        done = subprocess.run([self.bundle_tool, *map(str, arguments)], cwd=self.at, capture_output=True, text=True)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def root(self, name, r1, r2, k1, k2):
        self.tool("rotate", "-o", name, f"--root-key={r1}.pub", f"--root-key={r2}.pub", f"--release-key={k1}.pub",
                  f"--release-key={k2}.pub", "--release-threshold=2", "--site-key=line.pub", "-k", r1, "-k", r2)

    def model(self, name, change=None, large=0):
        """A copy of the model, in which `change(folder)` did something."""
        folder = self.at / name
        shutil.copytree(MODEL, folder)
        if large:
            (folder / "LICENSE.md").write_bytes(os.urandom(large))
        if change:
            change(folder)
        return folder

    def bundle(self, name, number, model=MODEL, shadow=3, probation=5, hardware="cam-hd", chain="1.slr",
               keys=("a", "b"), **more):
        options = [f"--{key.replace('_', '-')}={value}" for key, value in more.items()]
        self.tool("create", "-n", number, "-h", hardware, "-c", chain, "-o", name, f"--shadow={shadow}",
                  f"--probation={probation}", *[o for k in keys for o in ("-k", k)], *options, model)
        return self.at / name

    def id_of(self, bundle):
        return json.loads(self.tool("show", "--json", bundle))["id"]

    def order(self, name, number, bundle, when="at-once", keys=("line",), cameras=(), downgrade=None):
        self.tool("order", "-o", name, "-n", number, "-p", "pcb", "-b", self.id_of(bundle), "-w", when,
                  *[o for k in keys for o in ("-k", k)], *[f"--camera={camera}" for camera in cameras],
                  *([f"--downgrade={downgrade}"] if downgrade else []))
        return self.at / name

    def catalog(self, name, number, *revoked, floor="0.0", keys=("a", "b")):
        self.tool("catalog", "-o", name, "-n", number, "-p", "pcb", "-f", floor, *[o for k in keys for o in ("-k", k)],
                  *[f"--revoke={self.id_of(bundle)}" for bundle in revoked])
        return self.at / name


class World:
    """With `with`: everything that was started is stopped."""

    def __init__(self, build, factory, first, slot_mib=4, loops=False, **settings):
        self.build, self.factory, self.processes = pathlib.Path(build), factory, []
        self.loops = [] if loops else None  # devices in place of files
        self.folder = tempfile.TemporaryDirectory()
        self.at = pathlib.Path(self.folder.name)
        self.slots = self.at / "slots"
        self.slots.mkdir()
        self.settings = {"schema": 1, "storage": self.slots, "control": self.at / "control.sock",
                         "agent": self.at / "agent.sock", "stick": self.at / "stick.sock", "audit": self.at / "audit",
                         "hardware": "cam-hd", "root": factory.at / "1.slr",
                         "self_test": self.build / "sightline-selftest", "self_test_s": 60, **settings}
        done = subprocess.run([self.build / "sightline-slot", "provision", f"--size={slot_mib}", "-r",
                               factory.at / "1.slr", self.slots, first], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for part in sorted(self.slots.iterdir()) if loops else ():
            file = part.rename(self.at / part.name)
            part.symlink_to(self.attach(file))
        self.sticks = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait(30)
        for device in self.loops or ():
            subprocess.run(["losetup", "--detach", device], check=False)
        self.folder.cleanup()

    def attach(self, file, *options):
        done = subprocess.run(["losetup", "--find", "--show", *options, file], capture_output=True, text=True,
                              env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
        if done.returncode != 0:
            self.__exit__()
            raise OSError(f"losetup: {done.stderr.strip()}")
        self.loops.append(done.stdout.strip())
        return self.loops[-1]

    def start(self, *command, log="log", **more):
        out = open(self.at / log, "ab")
        with out:
            process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=out, **more)
        self.processes.append(process)
        return process

    def camera(self, rate=20, defect_rate=0.5, parts=None, summary=None, model=MODEL, name="cam",
               broker="{host: 127.0.0.1, port: 9}"):
        (self.at / "camera.yaml").write_text(
            f"schema: 1\nbroker: {broker}\n"
            f"cameras:\n  - name: {name}\n    source:\n      type: line\n      line: {{rate: {rate}, "
            f"defect_rate: {defect_rate}}}\n    model: {{path: {model}}}\n    part: {{mode: free-run, "
            "deadline_ms: 5000}\n")
        options = (["--parts", parts] if parts else []) + (["--summary", summary] if summary else [])
        self.daemon = self.start(self.build / "sightlined", "--control", self.at / "control.sock",
                                 self.at / "camera.yaml", *options, log="camera.log")
        self.until(lambda: (self.at / "control.sock").exists(), "the camera listens")
        return self.daemon

    def write_settings(self):
        (self.at / "ota.yaml").write_text("".join(f"{key}: {value}\n" for key, value in self.settings.items()))

    def agent(self, env=None):
        self.write_settings()
        self.otad = self.start(self.build / "sightline-otad", self.at / "ota.yaml", log="agent.log",
                               env=dict(os.environ, **(env or {})))
        self.until(lambda: (self.at / "stick.sock").exists() and self.status(), "the agent listens")
        return self.otad

    def image(self, *bundles, mib=None):
        """A stick's bytes, in a file."""
        self.sticks += 1
        path = self.at / f"stick-{self.sticks}"
        size = sum(b.stat().st_size for b in bundles)
        with open(path, "wb") as file:
            file.truncate((mib or size // (1 << 20) + 40) << 20)
        path_of = os.environ["PATH"] + ":/usr/sbin"
        quiet = {"check": True, "capture_output": True, "env": dict(os.environ, PATH=path_of, MTOOLS_SKIP_CHECK="1")}
        subprocess.run(["mkfs.vfat", "-F", "32", path], **quiet)
        subprocess.run(["mmd", "-i", path, "::SIGHTLINE"], **quiet)
        for bundle in bundles:
            subprocess.run(["mcopy", "-i", path, bundle, "::SIGHTLINE/"], **quiet)
        path.chmod(0o644)
        return path if self.loops is None else self.attach(path, "--read-only")

    def insert(self, image):
        return self.start(self.build / "sightline-stick", "--connect", self.at / "stick.sock", image, log="stick.log")

    def restart_agent(self):
        self.otad.terminate()
        assert self.otad.wait(30) == 0
        return self.agent()

    def ask(self, what):
        """One question over the agent's socket: (verb, text); None if nobody is there."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(60)
            try:
                s.connect(str(self.at / "agent.sock"))
                s.send(struct.pack(f"<II{TEXT_AT - 8}x{TEXT}sII", 1, ASK, what.encode(), 0, 0))
                answer = s.recv(1 << 17)
            except (ConnectionError, FileNotFoundError):
                return None
        return struct.unpack_from("<I", answer, 4)[0], answer[TEXT_AT:TEXT_AT + TEXT].split(b"\0")[0].decode()

    def status(self):
        """What the agent says, which is also what the daemon publishes on model/state."""
        answer = self.ask("status")
        status = json.loads(answer[1]) if answer else None
        if status and STATE:
            STATE.validate(status)
        return status

    def log(self, name="agent.log"):
        path = self.at / name
        return path.read_text(errors="replace") if path.exists() else ""

    def until(self, condition, what, timeout_s=60):
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.02)
        raise AssertionError(f"{what}: not within {timeout_s} s\n{self.status()}\n{self.log()}\n{self.log('camera.log')}"
                             f"\n{self.log('stick.log')}")

    def serves(self, number, timeout_s=60):
        def look():
            status = self.status()
            return status and status["phase"] == "idle" and status["active"]["number"] == number and status
        return self.until(look, f"{number} serves", timeout_s)

    def ends(self, result, timeout_s=60):
        def look():
            status = self.status()
            return status and status["phase"] == "idle" and status["last_result"] == result and status
        return self.until(look, f"an update ends: {result}", timeout_s)
