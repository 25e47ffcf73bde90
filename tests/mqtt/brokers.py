"""Brokers from deploy/mosquitto, for the tests: certificates, accounts, start, SIGKILL."""

import os
import pathlib
import random
import shutil
import socket
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = SOURCE / "deploy/mosquitto"
SKIP = 77


def find(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")


def missing(*programs):
    return [p for p in programs if not find(p)]


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def free_ports(n):
    """Below those that the system gives to outgoing connections: one could hold it while the broker is away."""
    ports = [port for port in random.SystemRandom().sample(range(10000, 32768), 100) if is_free(port)]
    assert len(ports) >= n, "no free ports"
    return ports[:n]


def socket_answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def certificates(folder, action, *options, code=0):
    run = subprocess.run([PACKAGE / "certificates.sh", action, "--folder", folder, *options], capture_output=True,
                         text=True)
    assert run.returncode == code, (action, options, run)
    return run.stdout + run.stderr


class Broker:
    """One broker as deploy/mosquitto/setup.sh writes it."""

    def __init__(self, folder, *options, tls=None, name="broker"):
        self.folder = pathlib.Path(folder) / name
        self.port, self.ws_port, self.tls_port = free_ports(3)
        self.options = ["--folder", self.folder, "--port", self.port, "--ws-port", self.ws_port, "--user",
                        subprocess.check_output(["id", "-un"], text=True).strip(), *options]
        if tls:
            self.options += ["--certificates", tls, "--tls-port", self.tls_port, "--tls-address", "127.0.0.1"]
        self.process = None
        self.setup()

    def setup(self, *more, code=0):
        run = subprocess.run([str(o) for o in [PACKAGE / "setup.sh", *self.options, *more]], capture_output=True,
                             text=True)
        assert run.returncode == code, run
        return run.stderr

    def password(self, account):
        return (self.folder / "passwords" / account).read_text().strip()

    def start(self):
        self.log = open(self.folder / "log", "a", encoding="utf-8")
        self.process = subprocess.Popen([find("mosquitto"), "-c", self.folder / "mosquitto.conf"], stderr=self.log,
                                        stdout=self.log)
        ports = [self.port, self.ws_port] + ([self.tls_port] if "--certificates" in self.options else [])
        for _ in range(200):
            while ports and socket_answers(ports[0]):
                ports.pop(0)
            if not ports:
                return self
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError("the broker does not start")

    def stop(self, kill=False):
        if self.process:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(20)
            self.process = None
            self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def login(self, account):
        """Arguments for mosquitto_pub and mosquitto_sub."""
        return ["-h", "127.0.0.1", "-p", str(self.port), "-V", "5", "-u", account, "-P", self.password(account)]
