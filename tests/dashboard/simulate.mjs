// Cameras that only talk: they publish what mqtt/schema describes, answer commands, and stop.
import { spawn } from "node:child_process";
import net from "node:net";

const text = (t) => { const b = Buffer.from(t); return Buffer.concat([Buffer.from([b.length >> 8, b.length & 255]), b]); };
function varint(n) {
    const out = [];
    do { out.push((n & 127) | (n > 127 ? 128 : 0)); n >>>= 7; } while (n);
    return Buffer.from(out);
}
const packet = (head, ...parts) => { const body = Buffer.concat(parts); return Buffer.concat([Buffer.from([head]), varint(body.length), body]); };

// A plain MQTT 5 publisher, so that what the page's own client misunderstands is not misunderstood twice.
export class Publisher {
    constructor(port, user, password) {
        this.socket = net.connect(port, "127.0.0.1");
        this.socket.setNoDelay(true);
        this.socket.on("error", () => {});
        const flags = 2 | 0xc0;
        this.socket.write(packet(0x10, text("MQTT"), Buffer.from([5, flags, 0, 0, 0]), text(`sim-${user}-${Math.random()}`), text(user), text(password)));
    }
    publish(topic, payload, { retain = false, user = {} } = {}) {
        const body = Buffer.isBuffer(payload) ? payload : Buffer.from(typeof payload === "string" ? payload : JSON.stringify(payload));
        const properties = Buffer.concat(Object.entries(user).map(([k, v]) => Buffer.concat([Buffer.from([0x26]), text(k), text(v)])));
        return new Promise((resolve) => this.socket.write(packet(0x30 | (retain ? 1 : 0), text(topic), varint(properties.length), properties, body), resolve));
    }
    close() { this.socket.destroy(); }
}

export const model = { name: "pcb-lite", version: "3.1", id: "pcb-lite 3.1" };
export const info = (capabilities = ["trigger", "status", "feedback", "update", "rollback", "preview", "snapshot", "threshold", "recipe"]) => ({
    schema: 1, serial: "SL-0042", software: "sightline 0.1.0", model, recipe: "board-a", schemas: { verdict: 1 }, boot_id: "b", capabilities,
    recipes: ["board-a", "board-b"], job_id: "", thresholds: { open: 0.48, short: 0.5 },
});
export const health = (more = {}) => ({
    schema: 1, state: "good", reasons: [], last_verdict_age_ms: 12, camera: { state: "ok", error: null }, accelerator: { wanted: "cpu", actual: "cpu" },
    clock: "synced", queue: { depth: 0, dropped: 0, refused: 0 }, ledger: { state: "ok", records: 4711, bytes: 5400000, waiting: 0 }, ...more,
});
export const metrics = (parts, ng, error = 0) => ({
    parts_total: parts, ok_total: parts - ng - error, ng_total: ng, error_total: error, dropped_total: 0, latency_ms_p50: 14.2, latency_ms_p99: 19,
});
export const CLASSES = ["open", "short", "mousebite", "spur", "copper", "pin-hole"];

export function verdict(camera, seq, { result = "ok", part, classes, ...more } = {}) {
    const names = classes ?? (result === "ng" ? [CLASSES[seq % 6], ...(seq % 3 ? [] : [CLASSES[(seq * 7) % 6]])] : []);
    const defects = names.map((name, i) => {
        const x = 40 + ((seq * 97 + i * 211) % 500), y = 40 + ((seq * 53 + i * 131) % 500), box = [x, y, x + 60, y + 44];
        return { class: name, score: 0.62 + ((seq + i) % 30) / 100, box, box_relative: box.map((v) => v / 640) };
    });
    return {
        schema: 1, camera, stream: "00112233445566aa", seq, part_id: part ?? `P-${String(seq).padStart(6, "0")}`, ts: Date.now(), boot_id: "b",
        ts_mono_ns: 1, clock: "synced", recipe: "board-a", model: "pcb-lite 3.1", backend: "cpu", result, frames: 1, latency_ms: 13 + (seq % 7) / 2,
        timing: { decode_ms: 1, registration_ms: 2, inference_ms: 8 }, picture: { width: 640, height: 640 },
        registration: { found: true, shift_x_px: 0, shift_y_px: 0, rotation_deg: 0, score: 0.9 },
        reasons: result === "error" ? ["late"] : names.map((n) => `${n}: 1`), defects_total: defects.length, defects, ...more,
    };
}

const DATA = {
    threshold: ({ value, apply, class: name = null }) => ({ class: name, value, before: 0.48, parts: 1000, unknown: 20, ng_before: 50, ng_after: 62, ok_to_ng: 15, ng_to_ok: 3, applied: apply }),
    preview: ({ rate, seconds }) => ({ rate, seconds }),
    snapshot: () => ({ crop: "snap1" }),
    recipe: ({ name, job_id = "" }) => ({ recipe: name, before: "board-a", job_id, model: "pcb-lite 3.1" }),
};

// Answers cmd/feedback, update and rollback as the daemon does: on the response topic, with the id.
export function answer(port, password, camera, heard) {
    const child = spawn("mosquitto_sub", ["-h", "127.0.0.1", "-p", String(port), "-V", "5", "-u", camera, "-P", password, "-q", "1", "-t",
        `sightline/${camera}/cmd/+`, "-F", "%t\t%R\t%p"], { stdio: ["ignore", "pipe", "ignore"] });
    const publisher = new Publisher(port, camera, password);
    let rest = "";
    child.stdout.on("data", (data) => {
        const lines = (rest + data).split("\n");
        rest = lines.pop();
        for (const line of lines) {
            const [topic, response, body] = line.split("\t"), command = JSON.parse(body);
            heard.push({ verb: topic.split("/").at(-1), ...command });
            const why = command.part_id === "P-refuse" ? "the ledger takes no more now" : command.name === "board-b" && command.job_id === "bad" ? "model.yaml: no such file" : null;
            const data = why ? null : DATA[topic.split("/").at(-1)]?.(command) ?? null;
            publisher.publish(response, { id: command.id, status: why ? "error" : "ok", error: why, data });
        }
    });
    return () => { child.kill(); publisher.close(); };
}
