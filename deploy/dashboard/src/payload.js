// What arrives is checked here: beyond this file texts are short and harmless to lay out, numbers are
// finite, lists are bounded. Topics are taken apart here, too.

const decoder = new TextDecoder("utf-8", { fatal: true });
const MAX_CAMERA_LEVELS = 5;

// Control characters and those that turn the reading direction would disturb the text around them.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function text(value, max = 64) {
    if (typeof value === "number") value = String(value);
    if (typeof value !== "string") return "";
    const shown = value.slice(0, 4 * max).replace(UNSEEN, "\ufffd");
    return shown.length > max ? `${shown.slice(0, max - 1)}…` : shown;
}

export function number(value, otherwise = null) {
    return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

const list = (value, max) => (Array.isArray(value) ? value.slice(0, max) : []);
const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});

function box(value) {
    const numbers = list(value, 4).map((v) => number(v));
    return numbers.length === 4 && numbers.every((v) => v !== null && v >= 0 && v <= 1) ? numbers : null;
}

export function verdict(raw) {
    const v = object(raw), seq = number(v.seq);
    if (seq === null || !["ok", "ng", "error"].includes(v.result)) return null;
    const picture = object(v.picture);
    return {
        camera: text(v.camera), stream: text(v.stream, 32), seq, partId: text(v.part_id),
        rawPartId: typeof v.part_id === "string" ? v.part_id.slice(0, 64) : "",
        ts: number(v.ts), result: v.result, recipe: text(v.recipe), model: text(v.model), backend: text(v.backend),
        clock: text(v.clock, 16), job: text(v.job_id), latencyMs: number(v.latency_ms),
        reasons: list(v.reasons, 4).map((r) => text(r, 96)).filter(Boolean),
        width: number(picture.width, 0), height: number(picture.height, 0),
        defectsTotal: number(v.defects_total, 0),
        defects: list(v.defects, 64).map(object).map((d) => ({
            class: text(d.class, 32) || "?", score: number(d.score), box: box(d.box_relative),
        })),
    };
}

export function health(raw) {
    const h = object(raw);
    if (!["good", "degraded", "fault"].includes(h.state)) return null;
    const camera = object(h.camera), accelerator = object(h.accelerator), queue = object(h.queue), ledger = object(h.ledger);
    const disk = object(h.disk);
    return {
        state: h.state, reasons: list(h.reasons, 12).map((r) => text(r, 200)),
        verdictAgeMs: number(h.last_verdict_age_ms), clock: text(h.clock, 16),
        camera: text(camera.state, 16), cameraError: text(camera.error, 200),
        wanted: text(accelerator.wanted, 48), actual: text(accelerator.actual, 48),
        queued: number(queue.depth), dropped: number(queue.dropped, 0), refused: number(queue.refused, 0),
        ledger: text(ledger.state, 16), ledgerRecords: number(ledger.records), ledgerBytes: number(ledger.bytes),
        diskFree: number(disk.free_bytes), diskLow: disk.state === "low",
    };
}

export function metrics(raw) {
    const out = {};
    for (const [key, value] of Object.entries(object(raw)).slice(0, 100)) {
        if (/^[a-z][a-z0-9_]{0,63}$/.test(key) && number(value) !== null) out[key] = value;
    }
    return "parts_total" in out ? out : null;
}

export function info(raw) {
    const i = object(raw), model = object(i.model);
    return {
        serial: text(i.serial, 40), software: text(i.software), recipe: text(i.recipe), bootId: text(i.boot_id, 40),
        model: text(model.name), version: text(model.version), modelId: text(model.id, 80),
        capabilities: new Set(list(i.capabilities, 64).map((c) => text(c))),
        job: text(i.job_id), recipes: list(i.recipes, 100).filter((r) => typeof r === "string" && r.length < 64),
        thresholds: Object.entries(object(i.thresholds)).slice(0, 256).filter(([name, v]) => name.length < 32 && number(v) !== null),
    };
}

// What the update agent does; its keys may grow, so whatever is short and plain is shown.
export function modelState(raw) {
    const rows = Object.entries(object(raw)).filter(([key, v]) => key !== "schema" && ["string", "number", "boolean"].includes(typeof v));
    return rows.slice(0, 12).map(([key, v]) => [text(key, 32).replaceAll("_", " "), text(String(v), 120)]);
}

export function reply(raw) {
    const r = object(raw);
    return { id: text(r.id), ok: r.status === "ok", error: text(r.error, 200), data: object(r.data) };
}

export function json(payload) {
    try {
        return JSON.parse(decoder.decode(payload));
    } catch {
        return undefined;
    }
}

const LEAVES = new Set(["status", "info", "verdict", "defect", "gap", "frame", "metrics", "health", "alarm"]);
const GROUPS = new Set(["verdict", "crop", "model", "reply", "cmd"]);

// "sightline/line3/cam1/verdict/last" → {camera: "line3/cam1", leaf: "verdict/last"}, or null.
export function topic(name, root) {
    if (!name.startsWith(`${root}/`)) return null;
    const levels = name.slice(root.length + 1).split("/");
    const n = levels.length;
    const grouped = n >= 3 && GROUPS.has(levels[n - 2]);
    const tail = grouped ? 2 : 1;
    if (n - tail < 1 || n - tail > MAX_CAMERA_LEVELS || (!grouped && !LEAVES.has(levels[n - 1]))) return null;
    return { camera: text(levels.slice(0, n - tail).join("/"), 120), leaf: levels.slice(n - tail).join("/") };
}
