"""A small plant for the tests: a broker with a password, the daemon, and somebody who listens."""

import contextlib
import json
import os
import pathlib
import queue
import random
import shutil
import socket
import subprocess
import threading
import time

SKIP = 77


def find(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")


def free_port():
    """Below those that the system gives to outgoing connections: one could hold it while the broker is away."""
    while True:
        port = random.SystemRandom().randrange(10000, 32768)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


class Plant:
    """With `with`: everything that was started is stopped."""

    def __init__(self, folder, build):
        self.folder, self.build = pathlib.Path(folder), pathlib.Path(build)
        self.port = free_port()
        self.processes = []
        (self.folder / "password").write_text("secret\n")
        (self.folder / "password").chmod(0o600)
        (self.folder / "users").write_text("")
        subprocess.run([find("mosquitto_passwd"), "-b", self.folder / "users", "test", "secret"], check=True)
        (self.folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {self.folder}/users\n"
            f"persistence false\nset_tcp_nodelay true\nmax_queued_messages 100000\nuser root\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()

    def start(self, *command, **more):
        process = subprocess.Popen([str(c) for c in command], **more)
        self.processes.append(process)
        return process

    def broker(self):
        process = self.start(find("mosquitto"), "-c", self.folder / "mosquitto.conf",
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            time.sleep(0.05)
        raise AssertionError("the broker does not start")

    def configure(self, cameras):
        text = (f"schema: 1\nbroker: {{host: 127.0.0.1, port: {self.port}, username: test, password_file: password}}\n"
                f"cameras:\n{cameras}")
        (self.folder / "camera.yaml").write_text(text)

    def daemon(self, *options, env=None):
        self.log = open(self.folder / "daemon.log", "a", encoding="utf-8")
        return self.start(self.build / "sightlined", self.folder / "camera.yaml", *options, stdout=self.log,
                          stderr=self.log, env=dict(os.environ, **(env or {})))

    def access(self):
        return ["--port", self.port, "--username", "test", "--password-file", self.folder / "password"]

    def listen(self):
        """A queue of (time of arrival, verdict)."""
        process = self.start(self.build / "sightline", "watch", "--json", *self.access(),
                             stdout=subprocess.PIPE, text=True)
        arrived = queue.Queue()

        def read():
            for line in process.stdout:
                arrived.put((time.monotonic(), json.loads(line)))

        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.5)
        return arrived

    def command(self, camera, verb):
        """The reply to one command."""
        topic = f"sightline/{camera}"
        run = subprocess.run(["mosquitto_rr", "-h", "127.0.0.1", "-p", str(self.port), "-u", "test", "-P", "secret",
                              "-V", "5", "-q", "1", "-W", "10", "-t", f"{topic}/cmd/{verb}", "-e",
                              f"{topic}/reply/test", "-m", '{"id": "1"}'], capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    def login(self):
        """Arguments for mosquitto_pub and the like."""
        return ["-h", "127.0.0.1", "-p", str(self.port), "-u", "test", "-P", "secret", "-V", "5"]

    def send(self, camera, verb, body):
        """The reply to a payload, on the usual topic."""
        topic = f"sightline/{camera}"
        run = subprocess.run(["mosquitto_rr", *self.login(), "-q", "1", "-W", "10", "-t", f"{topic}/cmd/{verb}", "-e",
                              f"{topic}/reply/{verb}", "-m", body], capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    def ask(self, camera, verb, **arguments):
        """The reply to a command with arguments and an id of its own."""
        self.asked = getattr(self, "asked", 0) + 1
        reply = self.send(camera, verb, json.dumps({"id": str(self.asked), **arguments}))
        assert reply["id"] == str(self.asked), (reply, arguments)
        return reply

    def restart(self):
        """The daemon, and waits until it answers."""
        self.process.terminate()
        assert self.process.wait(10) == 0
        self.process = self.daemon()
        for _ in range(50):
            try:
                return self.ask("cam", "status")
            except subprocess.CalledProcessError:
                time.sleep(0.1)
        raise AssertionError("the daemon does not answer")

    def health(self, camera):
        run = subprocess.run([str(c) for c in [self.build / "sightline", "status", "--json", "--timeout", "0.5",
                                               *self.access()]], capture_output=True, text=True, check=False)
        return json.loads(run.stdout or "{}").get(camera, {}).get("health", {})


class Message:
    """One message as a subscriber has it."""

    def __init__(self, line):
        head, payload = line.rstrip(b"\n").split(b"\t", 1)
        m = json.loads(head)
        self.topic, self.qos, self.retain = m["t"], m["q"], bool(int(m["r"]))
        self.content_type, self.expiry = m["C"], int(m["E"] or 0)
        self.user = dict(p.split(":", 1) for p in m["P"].split() if ":" in p)
        self.payload = bytes.fromhex(payload.decode())

    def __repr__(self):
        return f"{self.topic} {self.qos} {self.retain} {self.content_type} {self.expiry} {self.user} {self.payload[:60]}"


class Tap:
    """All messages of a filter, with their properties."""

    def __init__(self, plant, topic):
        form = '{"t":"%t","q":%q,"r":%r,"C":"%C","E":"%E","P":"%P"}\t%x'
        self.lock, self.all = threading.Lock(), []
        process = plant.start("mosquitto_sub", "-h", "127.0.0.1", "-p", plant.port, "-u", "test", "-P", "secret", "-V", "5",
                              "-q", "1", "-t", topic, "-F", form, stdout=subprocess.PIPE)

        def read():
            for line in process.stdout:
                message = Message(line)
                with self.lock:
                    self.all.append(message)

        threading.Thread(target=read, daemon=True).start()
        time.sleep(0.3)

    def messages(self):
        with self.lock:
            return list(self.all)

    def of(self, topic):
        """Those of one topic; a + at the end stands for any last level."""
        if topic.endswith("/+"):
            return [m for m in self.messages() if m.topic.startswith(topic[:-1]) and "/" not in m.topic[len(topic) - 1:]]
        return [m for m in self.messages() if m.topic == topic]


def wait_for(arrived, camera, wanted, seconds):
    """The first verdict of the camera for which wanted(verdict) holds, and when it came; else None."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            at, verdict = arrived.get(timeout=max(end - time.monotonic(), 0.01))
        except queue.Empty:
            break
        if verdict["camera"] == camera and wanted(verdict):
            return at, verdict
    return None


def drain(arrived):
    found = []
    while not arrived.empty():
        found.append(arrived.get())
    return found
