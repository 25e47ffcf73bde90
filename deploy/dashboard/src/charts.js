// Reject rate and latency over the last hours, drawn as SVG.
import { useRef } from "preact/hooks";
import { html } from "./html.js";

const WIDTH = 460, HEIGHT = 130, LEFT = 52, BOTTOM = 22, TOP = 6;
const LEAST_MINUTES = 30;
const REFRESH_MS = 2000;

// The smallest of 1, 2, 5, 10, 20 … that is not below.
function niceTop(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return power * [1, 2, 5, 10].find((m) => m * power >= value * 0.999);
}

// One path per stretch without holes; a single minute is a dot, as round ends make it.
function paths(xs, ys, x, y) {
    const out = [];
    let current = null;
    ys.forEach((v, i) => {
        if (v === null) current = null;
        else if (current) current.push(`L${x(xs[i])} ${y(v)}`);
        else out.push(current = [`M${x(xs[i])} ${y(v)}h.01`]);
    });
    return out.map((p) => p.join(""));
}

const clock = (s) => new Date(s * 1000).toTimeString().slice(0, 5);

function Chart({ xs, ys, unit, least, kind, label }) {
    const last = xs.at(-1) ?? 0, first = Math.min(xs[0] ?? 0, last - LEAST_MINUTES * 60);
    const top = niceTop(Math.max(least, ...ys.filter((v) => v !== null)));
    const x = (s) => +(LEFT + ((s - first) / (last - first)) * (WIDTH - LEFT - 8)).toFixed(1);
    const y = (v) => +(HEIGHT - BOTTOM - (v / top) * (HEIGHT - BOTTOM - TOP)).toFixed(1);
    return html`<svg class=${`chart ${kind}`} viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
        ${[0, top / 2, top].map((v) => html`<path class="rule" d=${`M${LEFT} ${y(v)}H${WIDTH}`} /><text x=${LEFT - 6} y=${y(v) + 4} text-anchor="end">${v} ${unit}</text>`)}
        ${xs.length > 0 && [0, 0.5, 1].map((t) => html`<text x=${x(first + t * (last - first))} y=${HEIGHT - 5} text-anchor=${["start", "middle", "end"][2 * t]}>${clock(first + t * (last - first))}</text>`)}
        ${paths(xs, ys, x, y).map((d) => html`<path class="line" d=${d} />`)}
    </svg>`;
}

const newest = (values) => values.findLast((v) => v !== null) ?? null;
const show = (v, unit) => (v === null ? "none yet" : `${v.toFixed(1)} ${unit}`);

export function Charts({ camera }) {
    // A chart need not move more often than every other second.
    const kept = useRef({ at: -Infinity });
    const now = performance.now();
    if (now - kept.current.at > REFRESH_MS || kept.current.id !== camera.id) kept.current = { at: now, id: camera.id, series: camera.trend.series() };
    const [xs, rejects, latency] = kept.current.series;
    const charts = [
        ["Rejects", rejects, "%", 5, "bad", "Share of rejects in each minute"],
        ["Latency", latency, "ms", 10, "plain", "Median latency in each minute"],
    ];
    return html`<section class="card charts" aria-label="Trend">${charts.map(([name, ys, unit, least, kind, label]) => html`
        <h2>${name} <span class="now">${show(newest(ys), unit)}</span></h2>
        <${Chart} xs=${xs} ys=${ys} unit=${unit} least=${least} kind=${kind} label=${`${label}; newest ${show(newest(ys), unit)}`} />`)}
    </section>`;
}
