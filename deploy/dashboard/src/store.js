// What the page knows: one entry per camera, filled from the messages. Nothing here draws.

import * as payload from "./payload.js";
import { Counter } from "./shift.js";
import { Trend } from "./trend.js";

const MAX_CAMERAS = 64;
const MAX_REJECTS = 1000;   // per camera
const MAX_PICTURES = 120;   // per camera; older rejects are kept without
const MAX_VERDICTS = 5000;  // per camera, for the export
const MAX_SEEN = 8192;      // numbers that are remembered to tell repeated messages

class Camera {
    constructor(id, settings) {
        this.id = id;
        this.status = this.info = this.health = this.metrics = this.last = this.frame = null;
        this.model = [];
        this.heard = 0; // performance.now() of the last message that was not a retained one
        this.rejects = []; // newest first: {verdict, late, feedback}
        this.verdicts = []; // oldest first
        this.pictures = new Map(); // part id → Shot, oldest first
        this.seen = new Set();
        this.gaps = 0;
        this.alarms = new Map(); // id → text
        this.counter = new Counter(settings);
        this.trend = new Trend();
    }
}

const KEPT = "sightline-kept";

export class Store {
    constructor(settings) {
        this.settings = settings;
        this.cameras = new Map();
        this.listeners = new Set();
        this.replies = new Map();
    }

    changed() {
        for (const f of this.listeners) f();
    }

    camera(id) {
        let camera = this.cameras.get(id);
        if (!camera && this.cameras.size < MAX_CAMERAS) {
            camera = new Camera(id, this.settings);
            this.cameras.set(id, camera);
            this.cameras = new Map([...this.cameras].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })));
        }
        return camera;
    }

    // A message from the broker.
    take(message) {
        const where = payload.topic(message.topic, this.settings.root);
        if (!where || where.leaf.startsWith("cmd/")) return;
        const [group] = where.leaf.split("/");
        const taker = TAKERS[where.leaf] ?? TAKERS[`${group}/*`];
        // An empty status is one that was cleared.
        if (!taker || (where.leaf === "status" && !message.payload.length)) return;
        const camera = this.camera(where.camera);
        if (!camera) return;
        if (!message.retain && group !== "reply") camera.heard = performance.now();
        taker(this, camera, message, where.leaf);
        this.changed();
    }

    // What is shown of the cameras: those that have ever said more than 'online'.
    shown() {
        return [...this.cameras.values()].filter((c) => c.info || c.last || c.health || c.metrics);
    }

    save() {
        const kept = { v: 1, cameras: {} };
        for (const camera of this.shown()) kept.cameras[camera.id] = { counter: camera.counter.save(), trend: camera.trend.save() };
        try {
            localStorage.setItem(KEPT, JSON.stringify(kept));
        } catch { /* no room or not allowed: the page works without */ }
    }

    restore() {
        try {
            const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
            for (const [id, { counter, trend }] of Object.entries(kept.cameras ?? {})) {
                const camera = this.camera(payload.text(id, 120));
                camera?.counter.restore(counter);
                camera?.trend.restore(trend);
            }
        } catch { /* what cannot be read is left out */ }
    }
}

function isRepeated(camera, verdict) {
    const key = `${verdict.stream}/${verdict.seq}`;
    if (camera.seen.has(key)) return true;
    camera.seen.add(key);
    if (camera.seen.size > MAX_SEEN) camera.seen.delete(camera.seen.values().next().value);
    return false;
}

// A picture; it gets an address only when it is shown at its size.
class Shot {
    address = null;
    constructor(bytes) { this.blob = new Blob([bytes], { type: "image/jpeg" }); }
    get url() { return (this.address ??= URL.createObjectURL(this.blob)); }
    drop() { if (this.address) URL.revokeObjectURL(this.address); }
}

function keepPicture(camera, partId, bytes) {
    camera.pictures.get(partId)?.drop();
    camera.pictures.delete(partId);
    camera.pictures.set(partId, new Shot(bytes));
    while (camera.pictures.size > MAX_PICTURES) {
        const [oldest, shot] = camera.pictures.entries().next().value;
        shot.drop();
        camera.pictures.delete(oldest);
    }
}

// What is shown instead of a part for a while: the preview, or a snapshot that somebody took.
function showFrame(camera, message, partId) {
    camera.frame?.drop();
    camera.frame = new Shot(message.payload);
    camera.frameAt = performance.now();
    camera.framePart = partId;
}

const isJpeg = (bytes) => bytes.length > 3 && bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff;

function takeVerdict(store, camera, message) {
    const verdict = payload.verdict(payload.json(message.payload));
    if (!verdict) return;
    const late = message.user.history === "true";
    if (isRepeated(camera, verdict)) return;
    camera.verdicts.push(verdict);
    if (camera.verdicts.length > MAX_VERDICTS * 1.1) camera.verdicts.splice(0, camera.verdicts.length - MAX_VERDICTS);
    camera.trend.add(verdict, late);
    if (!late) {
        camera.counter.live(verdict);
        camera.last = verdict;
    }
    if (verdict.result !== "ok") {
        camera.rejects.unshift({ verdict, late, feedback: null });
        if (camera.rejects.length > MAX_REJECTS) camera.rejects.length = MAX_REJECTS;
        }
}

// The retained one, for who comes later; otherwise 'verdict' said it before.
function takeLast(store, camera, message) {
    const verdict = payload.verdict(payload.json(message.payload));
    if (!verdict || (camera.last && camera.last.stream === verdict.stream && camera.last.seq >= verdict.seq)) return;
    camera.last = verdict;
    if (verdict.result !== "ok" && message.retain && !isRepeated(camera, verdict)) {
        camera.rejects.unshift({ verdict, late: false, feedback: null });
        }
}

function takeCrop(store, camera, message, leaf) {
    if (!isJpeg(message.payload)) return;
    const partId = message.user.part_id ?? message.user["part id"] ?? (leaf === "crop/last" ? camera.last?.rawPartId : undefined);
    if (partId) keepPicture(camera, String(partId).slice(0, 64), message.payload);
    else if (leaf !== "crop/last") showFrame(camera, message, null);
}

function takeFrame(store, camera, message) {
    if (isJpeg(message.payload)) showFrame(camera, message, message.user.part_id ?? null);
}

function takeAlarm(store, camera, message) {
    const raw = payload.json(message.payload) ?? {};
    const id = payload.text(raw.id);
    if (raw.state === "raised" || raw.raised === true) camera.alarms.set(id, payload.text(raw.text ?? raw.message ?? raw.id, 200));
    else camera.alarms.delete(id);
    while (camera.alarms.size > 20) camera.alarms.delete(camera.alarms.keys().next().value);
}

const TAKERS = {
    status(store, camera, message) {
        const word = new TextDecoder().decode(message.payload.subarray(0, 16));
        camera.status = word === "online" ? "online" : "offline";
    },
    info(store, camera, message) {
        const raw = payload.json(message.payload);
        if (raw) camera.info = payload.info(raw);
    },
    health(store, camera, message) {
        camera.health = payload.health(payload.json(message.payload)) ?? camera.health;
    },
    metrics(store, camera, message) {
        const metrics = payload.metrics(payload.json(message.payload));
        if (!metrics) return;
        camera.metrics = metrics;
        camera.counter.totals(metrics);
    },
    gap(store, camera) { camera.gaps++; },
    alarm: takeAlarm,
    verdict: takeVerdict,
    "verdict/last": takeLast,
    frame: takeFrame,
    "crop/*": takeCrop,
    "model/state"(store, camera, message) {
        camera.model = payload.modelState(payload.json(message.payload));
    },
    "reply/*"(store, camera, message) {
        const reply = payload.reply(payload.json(message.payload));
        store.replies.get(reply.id)?.(reply);
    },
};
