// Reject rate and latency per minute, for eight hours.

const MINUTES = 480;
const SAMPLES = 64; // latencies per minute that the median is taken of

const minuteOf = (ms) => Math.floor(ms / 60000);

export class Trend {
    constructor() {
        this.minutes = new Map(); // minute → {parts, rejects, latencies}
    }

    // A late verdict belongs to its own minute, as far as its clock can be trusted.
    add(verdict, late) {
        const minute = minuteOf(late && verdict.ts ? verdict.ts : Date.now());
        if (minute > minuteOf(Date.now()) || minute < minuteOf(Date.now()) - MINUTES) return;
        let m = this.minutes.get(minute);
        if (!m) {
            m = { parts: 0, rejects: 0, latencies: [] };
            this.minutes.set(minute, m);
            for (const old of this.minutes.keys()) {
                if (old < minuteOf(Date.now()) - MINUTES) this.minutes.delete(old);
            }
        }
        m.parts++;
        m.rejects += verdict.result !== "ok";
        if (verdict.latencyMs !== null && !late) {
            if (m.latencies.length < SAMPLES) m.latencies.push(verdict.latencyMs);
            else m.latencies[Math.floor(Math.random() * m.parts)] = verdict.latencyMs;
            m.latencies.length = Math.min(m.latencies.length, SAMPLES);
        }
    }

    // [seconds, reject rate in %, median latency in ms], a value for each minute from the first on.
    series() {
        const keys = [...this.minutes.keys()].sort((a, b) => a - b);
        const out = [[], [], []];
        if (!keys.length) return out;
        for (let minute = keys[0]; minute <= minuteOf(Date.now()); minute++) {
            const m = this.minutes.get(minute);
            const sorted = m ? [...m.latencies].sort((a, b) => a - b) : [];
            out[0].push(minute * 60);
            out[1].push(m?.parts ? (100 * m.rejects) / m.parts : null);
            out[2].push(sorted.length ? sorted[sorted.length >> 1] : null);
        }
        return out;
    }

    save() {
        return [...this.minutes].map(([k, m]) => [k, m.parts, m.rejects, m.latencies.length ? m.latencies[0] : null]);
    }

    restore(kept) {
        for (const row of Array.isArray(kept) ? kept.slice(-MINUTES) : []) {
            const [minute, parts, rejects, latency] = row;
            if (![minute, parts, rejects].every(Number.isFinite) || minute < minuteOf(Date.now()) - MINUTES) continue;
            this.minutes.set(minute, { parts, rejects, latencies: Number.isFinite(latency) ? [latency] : [] });
        }
    }
}
