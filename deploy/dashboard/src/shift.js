// Parts, rejects and errors of the current shift.
//
// The camera's own counters (topic metrics) are what counts: their growth is added up, so that what
// was judged while the page was closed or the broker away is in it. Verdicts bridge the seconds
// between two metrics messages. A counter that fell has begun anew.

const KEYS = { parts: "parts_total", ok: "ok_total", ng: "ng_total", error: "error_total" };
const NAMES = Object.keys(KEYS);
const SLACK_MS = 5 * 60000; // who was there so soon after the shift began has seen all of it
const none = () => ({ parts: 0, ok: 0, ng: 0, error: 0 });

// Milliseconds of the start of the shift in which `now` lies. `starts`: minutes after midnight, ascending.
export function shiftStart(starts, now = Date.now()) {
    const day = new Date(now);
    const at = (minutes, shift = 0) => new Date(day.getFullYear(), day.getMonth(), day.getDate() + shift, 0, minutes).getTime();
    const begun = starts.map((m) => at(m)).filter((t) => t <= now);
    return begun.length ? begun.at(-1) : at(starts.at(-1), -1);
}

export class Counter {
    constructor(settings) {
        this.settings = settings;
        this.begin(0);
    }

    begin(start) {
        this.start = start;
        this.since = Date.now(); // when counting began, at best the start of the shift
        this.sum = none();
        this.extra = none(); // seen since the last metrics message
    }

    turn() {
        const start = shiftStart(this.settings.shifts);
        if (start === this.start) return;
        this.begin(start);
        if (Date.now() - start < SLACK_MS) this.since = start;
        else this.before = undefined; // how much of the growth is of this shift, nobody knows
    }

    totals(metrics) {
        this.turn();
        const now = Object.fromEntries(NAMES.map((n) => [n, metrics[KEYS[n]] ?? 0]));
        if (this.before) {
            const restarted = NAMES.some((n) => now[n] < this.before[n]);
            for (const n of NAMES) this.sum[n] += restarted ? now[n] : now[n] - this.before[n];
        }
        this.before = now;
        this.extra = none();
    }

    live(verdict) {
        this.turn();
        this.extra.parts++;
        this.extra[verdict.result]++;
    }

    value() {
        this.turn();
        const out = Object.fromEntries(NAMES.map((n) => [n, this.sum[n] + this.extra[n]]));
        out.since = this.since;
        out.partial = this.since - this.start > 60000;
        // The line takes ERROR as NG: both are rejects.
        out.rejects = out.ng + out.error;
        out.yield = out.parts ? out.ok / out.parts : null;
        return out;
    }

    save() {
        return { start: this.start, since: this.since, sum: this.sum, before: this.before };
    }

    restore(kept) {
        const fine = (o) => o && NAMES.every((n) => Number.isFinite(o[n]) && o[n] >= 0);
        if (!kept || !fine(kept.sum) || !Number.isFinite(kept.start) || !Number.isFinite(kept.since)) return;
        Object.assign(this, { start: kept.start, since: kept.since, sum: kept.sum });
        if (fine(kept.before)) this.before = kept.before;
        this.turn();
    }
}
