// preact without a compiler. Texts are always text here: nothing that arrives becomes markup.
import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);

const SHAPES = {
    ok: "M20 53 42 75 82 27",
    ng: "M26 26 74 74M74 26 26 74",
    error: "M50 18V58M50 74V80",
    wait: "M50 24V52L68 64",
    off: "M24 50H76",
};

// Every state has a shape and a word beside its colour.
export const Shape = ({ of, size = 24 }) => html`<svg class="shape" width=${size} height=${size} viewBox="0 0 100 100"
    aria-hidden="true" focusable="false"><circle cx="50" cy="50" r="46" /><path d=${SHAPES[of] ?? SHAPES.off} /></svg>`;

export const time = (ms) => (ms ? new Date(ms).toLocaleTimeString("en-GB") : "–");
export const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en-US"));
export const percent = (share, digits = 1) => (share === null ? "–" : `${(100 * share).toFixed(digits)} %`);
export const milliseconds = (ms) => (ms === null || ms === undefined ? "–" : `${ms.toFixed(ms < 100 ? 1 : 0)} ms`);

export function classCounts(verdict) {
    const counts = new Map();
    for (const d of verdict.defects) counts.set(d.class, (counts.get(d.class) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]);
}

// "2 short, 1 open", or why there was no judgement.
export function why(verdict) {
    const classes = classCounts(verdict).map(([name, n]) => `${n} ${name}`);
    if (verdict.defectsTotal > verdict.defects.length) classes.push(`${verdict.defectsTotal - verdict.defects.length} more`);
    return classes.length ? classes.join(", ") : verdict.reasons.join(", ");
}

export function age(ms) {
    const s = Math.floor(ms / 1000);
    return s < 120 ? `${s} s` : s < 7200 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h`;
}
