"""Between clients and a broker: writes down what the clients send, cuts them off, plays an older broker."""

import socket
import struct
import threading
import time

NAMES = {1: "CONNECT", 3: "PUBLISH", 8: "SUBSCRIBE", 14: "DISCONNECT", 4: "PUBACK", 12: "PINGREQ"}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at


def text(data, at):
    size = struct.unpack_from(">H", data, at)[0]
    return data[at + 2:at + 2 + size], at + 2 + size


def properties(data, at):
    """Only those that the tests ask for: {17: session expiry, 24: will delay}."""
    size, at = varint(data, at)
    end, found = at + size, {}
    while at < end and data[at] in (17, 24, 2, 33, 39, 34, 1, 23, 25):
        wide = {17: 4, 24: 4, 2: 4, 33: 2, 39: 4, 34: 2, 1: 1, 23: 1, 25: 1}[data[at]]
        found[data[at]] = int.from_bytes(data[at + 1:at + 1 + wide], "big")
        at += 1 + wide
    return found, end


class Packet:
    def __init__(self, kind, flags, body, version):
        self.kind, self.flags, self.body, self.time = NAMES.get(kind, str(kind)), flags, body, time.time()
        if self.kind == "CONNECT":
            self.connect()
        elif self.kind == "PUBLISH":
            self.publish(version)
        elif self.kind == "SUBSCRIBE":
            at = 2
            if version == 5:
                _, at = properties(body, at)
            topic, at = text(body, at)
            self.topic, self.options, self.qos = topic.decode(), body[at], body[at] & 3
        elif self.kind == "DISCONNECT":
            self.reason = body[0] if body else 0

    def connect(self):
        _, at = text(self.body, 0)
        self.version, bits = self.body[at], self.body[at + 1]
        self.keepalive, at = struct.unpack_from(">H", self.body, at + 2)[0], at + 4
        self.clean, self.will = bool(bits & 2), bool(bits & 4)
        self.will_qos, self.will_retain = bits >> 3 & 3, bool(bits & 32)
        self.properties, self.will_properties = {}, {}
        if self.version == 5:
            self.properties, at = properties(self.body, at)
        client, at = text(self.body, at)
        self.client = client.decode()
        if self.will:
            if self.version == 5:
                self.will_properties, at = properties(self.body, at)
            topic, at = text(self.body, at)
            self.will_payload, at = text(self.body, at)
            self.will_topic = topic.decode()

    def publish(self, version):
        topic, at = text(self.body, 0)
        self.topic, self.qos, self.retain = topic.decode(), self.flags >> 1 & 3, bool(self.flags & 1)
        if self.qos:
            at += 2
        if version == 5:
            _, at = properties(self.body, at)
        self.payload = self.body[at:]


def packets(data, version):
    """The whole packets at the beginning of `data`, and how many bytes they have."""
    found, at = [], 0
    while len(data) - at >= 2:
        try:
            size, body = varint(data, at + 1)
        except IndexError:
            break
        if body + size > len(data):
            break
        packet = Packet(data[at] >> 4, data[at] & 15, data[body:body + size], version)
        version = packet.version if packet.kind == "CONNECT" else version
        found.append(packet)
        at = body + size
    return found, at, version


class Session:
    """One connection of a client: its packets, in order."""

    def __init__(self):
        self.packets, self.client, self.version, self.closed = [], None, 5, False

    def of(self, kind):
        return [p for p in self.packets if p.kind == kind]


class Proxy:
    def __init__(self, broker_port):
        self.broker_port, self.sessions, self.pairs = broker_port, [], []
        self.refuse_v5 = self.mute_v5 = False
        self.port = 0
        self.mend()

    def mend(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        session, pending, broker = Session(), b"", None
        try:
            while True:
                data = client.recv(65536)
                if not data:
                    break
                pending += data
                found, used, session.version = packets(pending, session.version)
                pending = pending[used:]
                session.packets += found
                if found and found[0].kind == "CONNECT":
                    session.client = found[0].client
                    self.sessions.append(session)
                    if found[0].version == 5 and self.mute_v5:
                        break
                    if found[0].version == 5 and self.refuse_v5:
                        client.sendall(b"\x20\x02\x00\x01")  # as MQTT 3.1.1 has it
                        break
                    broker = socket.create_connection(("127.0.0.1", self.broker_port))
                    broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.pairs.append((client, broker))
                    threading.Thread(target=self.back, args=(broker, client), daemon=True).start()
                broker.sendall(data)
        except (OSError, AttributeError):
            pass
        session.closed = True
        for s in (client, broker):
            if s:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                s.close()

    @staticmethod
    def back(broker, client):
        try:
            while data := broker.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        try:
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def cut(self):
        """Ends every connection, as a pulled cable does after a while, and lets nobody in."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for pair in self.pairs:
            for s in pair:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()

    def of(self, client):
        return [s for s in self.sessions if s.client == client]
