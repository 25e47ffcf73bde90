// An MQTT 5 client over WebSocket: as much of it as a page needs, QoS 0 and 1.
//
// The connection is tried again for ever, with a back-off that chance spreads. A broker that says
// nothing for two keep-alive intervals counts as gone. Nothing is queued: what cannot be sent now
// is refused to the caller.
//
// Mosquitto writes 4 kB to a WebSocket and then waits for something to happen, for 100 ms if nothing
// does: a picture of 100 kB takes 2.5 s. So this client makes something happen. A ping that stays
// unanswered shows that something large is on its way, and more pings move it along.

const KEEPALIVE_S = 4;
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 4000;
const CONNECT_MS = 5000;
const PACKET_MAX = 1 << 20;
const PROBE_MS = 100;   // between pings
const HURRY_MS = 4;     // between pings while one is unanswered …
const HURRIES = 250;    // … but only so many: then the broker is busy, and pings make it no faster
const BUFFER_MAX = 1 << 20; // unsent bytes after which a publish is refused

const CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9, PINGREQ = 12, PINGRESP = 13, DISCONNECT = 14;
const USER_PROPERTY = 0x26, CONTENT_TYPE = 0x03, RESPONSE_TOPIC = 0x08, CORRELATION = 0x09, EXPIRY = 0x02;

const PING = Uint8Array.of(PINGREQ << 4, 0);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

class Writer {
    bytes = [];
    u8(v) { this.bytes.push(v & 255); return this; }
    u16(v) { return this.u8(v >> 8).u8(v); }
    u32(v) { return this.u16(v >>> 16).u16(v); }
    length(v) {
        do {
            this.u8((v & 127) | (v > 127 ? 128 : 0));
            v >>>= 7;
        } while (v);
        return this;
    }
    raw(bytes) {
        for (const b of bytes) this.bytes.push(b);
        return this;
    }
    text(t) {
        const bytes = encoder.encode(t);
        return this.u16(bytes.length).raw(bytes);
    }
    block(other) { return this.length(other.bytes.length).raw(other.bytes); }
    packet(type, flags = 0) {
        const out = new Writer().u8((type << 4) | flags).length(this.bytes.length);
        const head = Uint8Array.from(out.bytes), all = new Uint8Array(head.length + this.bytes.length);
        all.set(head);
        all.set(this.bytes, head.length);
        return all;
    }
}

class Reader {
    constructor(bytes) { this.bytes = bytes; this.at = 0; }
    need(n) {
        if (this.bytes.length - this.at < n) throw new Error("a packet ends too early");
        this.at += n;
        return this.at - n;
    }
    u8() { return this.bytes[this.need(1)]; }
    u16() { const i = this.need(2); return (this.bytes[i] << 8) | this.bytes[i + 1]; }
    u32() { return this.u16() * 65536 + this.u16(); }
    length() {
        let value = 0;
        for (let shift = 0; shift < 28; shift += 7) {
            const b = this.u8();
            value |= (b & 127) << shift;
            if (b < 128) return value;
        }
        throw new Error("a length has more than four bytes");
    }
    raw(n) { const i = this.need(n); return this.bytes.subarray(i, i + n); }
    text() { return decoder.decode(this.raw(this.u16())); }
    rest() { return this.raw(this.bytes.length - this.at); }
}

// Sizes of the properties that have no length of their own (MQTT 5, section 2.2.2.2).
const FIXED = {
    0x01: 1, 0x02: 4, 0x11: 4, 0x13: 2, 0x17: 1, 0x18: 4, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x27: 4,
    0x28: 1, 0x29: 1, 0x2a: 1,
};

function readProperties(r) {
    const out = { user: {} }, size = r.length(), end = r.at + size;
    while (r.at < end) {
        const id = r.u8();
        if (id === USER_PROPERTY) {
            const key = r.text();
            out.user[key] = r.text();
        } else if (id === CONTENT_TYPE) out.contentType = r.text();
        else if (id === 0x1f) out.reason = r.text();
        else if (id === 0x0b) r.length();
        else if (id in FIXED) r.raw(FIXED[id]);
        else r.raw(r.u16()); // text or binary
    }
    return out;
}

const REASONS = {
    0x84: "it does not speak MQTT 5", 0x86: "wrong name or password", 0x87: "not allowed", 0x88: "not available",
    0x89: "busy", 0x8a: "banned", 0x8c: "wrong way to log in", 0x97: "quota exceeded", 0x9f: "too many connections",
};
const reason = (code) => REASONS[code] ?? `code 0x${code.toString(16)}`;

// options: url, clientId, username, password, filters, and the callbacks
// onUp(), onDown(text, fatal), onMessage({topic, payload, retain, user, contentType}).
export class Client {
    constructor(options) {
        this.options = options;
        this.backoff = BACKOFF_FIRST_MS;
        this.closed = this.up = false;
        this.waiting = new Map(); // packet identifier → resolve
        this.lastId = 0;
        this.open();
    }

    open() {
        let socket;
        this.buffer = new Uint8Array(0);
        try {
            socket = new WebSocket(this.options.url, ["mqtt"]);
        } catch (error) {
            this.options.onDown(String(error.message), true);
            return;
        }
        this.socket = socket;
        socket.binaryType = "arraybuffer";
        const mine = (f) => (event) => { if (this.socket === socket) f(event); };
        socket.onopen = mine(() => this.hello());
        socket.onmessage = mine((event) => this.receive(event.data));
        socket.onclose = mine(() => this.lose("the broker does not answer"));
        this.heard = performance.now();
        this.unanswered = 0;
        this.timer = setInterval(() => this.watch(), PROBE_MS);
    }

    hello() {
        const { clientId, username, password } = this.options;
        const properties = new Writer().u8(0x27).u32(PACKET_MAX);
        const w = new Writer().text("MQTT").u8(5).u8(0x02 | (username ? 0xc0 : 0)).u16(KEEPALIVE_S);
        w.block(properties).text(clientId);
        if (username) w.text(username).text(password ?? "");
        this.socket.send(w.packet(CONNECT));
    }

    watch() {
        const silent = performance.now() - this.heard;
        if (silent > (this.up ? 2 * KEEPALIVE_S * 1000 : CONNECT_MS)) this.lose("the broker says nothing");
        else if (this.up && !this.hurrying) this.ping();
    }

    ping() {
        this.hurrying = this.unanswered > 0 && this.unanswered < HURRIES;
        this.unanswered++;
        this.socket.send(PING);
        const { socket } = this;
        const again = () => this.socket === socket && this.unanswered > 0 && this.unanswered < HURRIES;
        setTimeout(() => {
            if (again()) this.ping();
            else this.hurrying = false;
        }, HURRY_MS);
    }

    lose(text, fatal = false) {
        clearInterval(this.timer);
        const { socket } = this;
        this.socket = null;
        this.up = this.hurrying = false;
        socket?.close();
        for (const resolve of this.waiting.values()) resolve({ error: text });
        this.waiting.clear();
        if (this.closed) return;
        this.options.onDown(text, fatal);
        if (fatal) return;
        this.again = setTimeout(() => this.open(), this.backoff * (0.5 + Math.random() / 2));
        this.backoff = Math.min(this.backoff * 2, BACKOFF_MAX_MS);
    }

    close() {
        this.closed = true;
        clearTimeout(this.again);
        if (this.up) this.socket.send(new Writer().u8(0).u8(0).packet(DISCONNECT));
        this.lose("closed");
    }

    receive(data) {
        this.heard = performance.now();
        const more = new Uint8Array(data);
        let bytes = more;
        if (this.buffer.length) {
            bytes = new Uint8Array(this.buffer.length + more.length);
            bytes.set(this.buffer);
            bytes.set(more, this.buffer.length);
        }
        try {
            this.buffer = this.takePackets(bytes);
        } catch (error) {
            this.lose(`the broker sent something strange: ${error.message}`);
        }
    }

    takePackets(bytes) {
        for (;;) {
            let size = 0, at = 1, more = true;
            for (; more && at < bytes.length && at < 5; at++) {
                size |= (bytes[at] & 127) << (7 * (at - 1));
                more = bytes[at] > 127;
            }
            if (more && at === 5) throw new Error("a length has more than four bytes");
            if (size > PACKET_MAX) throw new Error("a packet is too large");
            if (more || bytes.length - at < size) return bytes.slice();
            this.take(bytes[0], new Reader(bytes.subarray(at, at + size)));
            if (!this.socket) return new Uint8Array(0);
            bytes = bytes.subarray(at + size);
        }
    }

    take(head, r) {
        const type = head >> 4;
        if (type === PUBLISH) this.takePublish(head, r);
        else if (type === CONNACK) this.takeConnack(r);
        else if (type === PUBACK) this.settle(r.u16(), r.at < r.bytes.length ? r.u8() : 0);
        else if (type === SUBACK) this.takeSuback(r);
        else if (type === PINGRESP) this.unanswered = Math.max(this.unanswered - 1, 0);
        else if (type === DISCONNECT) {
            const code = r.bytes.length ? r.u8() : 0;
            this.lose(`the broker ends the connection: ${reason(code)}`);
        }
    }

    takeConnack(r) {
        r.u8();
        const code = r.u8();
        if (code) {
            // Mosquitto says 'not authorized' of a wrong password.
            const login = code === 0x86 || code === 0x87 || code === 0x8c;
            this.lose(`the broker refuses: ${login ? reason(0x86) : reason(code)}`, login);
            return;
        }
        this.backoff = BACKOFF_FIRST_MS;
        this.up = true;
        const w = new Writer().u16(this.nextId()).block(new Writer());
        for (const filter of this.options.filters) w.text(filter).u8(1);
        this.socket.send(w.packet(SUBSCRIBE, 2));
        this.options.onUp();
    }

    takeSuback(r) {
        r.u16();
        readProperties(r);
        const refused = r.rest().find((code) => code >= 0x80);
        if (refused !== undefined) this.lose(`the broker refuses to show its topics: ${reason(refused)}`, true);
    }

    takePublish(head, r) {
        const topic = r.text(), qos = (head >> 1) & 3, id = qos ? r.u16() : 0;
        const properties = readProperties(r);
        if (qos) this.socket.send(new Writer().u16(id).packet(PUBACK));
        this.options.onMessage({
            topic, payload: r.rest(), retain: Boolean(head & 1), user: properties.user, contentType: properties.contentType,
        });
    }

    settle(id, code) {
        this.waiting.get(id)?.(code >= 0x80 ? { error: `the broker refuses: ${reason(code)}` } : {});
        this.waiting.delete(id);
    }

    nextId() {
        do this.lastId = (this.lastId % 65535) + 1; while (this.waiting.has(this.lastId));
        return this.lastId;
    }

    // QoS 1; resolves to {} or {error}. Never rejects.
    publish(topic, text, { expiry, responseTopic, correlation } = {}) {
        if (!this.up || this.socket.bufferedAmount > BUFFER_MAX) return Promise.resolve({ error: "not connected" });
        const id = this.nextId(), properties = new Writer();
        if (expiry) properties.u8(EXPIRY).u32(expiry);
        if (responseTopic) properties.u8(RESPONSE_TOPIC).text(responseTopic);
        if (correlation) properties.u8(CORRELATION).text(correlation);
        const w = new Writer().text(topic).u16(id).block(properties).raw(encoder.encode(text));
        return new Promise((resolve) => {
            this.waiting.set(id, resolve);
            this.socket.send(w.packet(PUBLISH, 2));
        });
    }
}
