// The film strip of rejects, the filter by class, and one reject looked at closely.
import { useRef, useState } from "preact/hooks";
import { Dialog } from "./dialog.js";
import { count, html, milliseconds, percent, Shape, time, why } from "./html.js";
import { Picture, Thumbnail } from "./picture.js";

const PAGE = 12;
const CLASSES_SHOWN = 12;

export function filtered(rejects, wanted) {
    if (!wanted) return rejects;
    return rejects.filter(({ verdict }) => (wanted === "ERROR" ? verdict.result === "error" : verdict.defects.some((d) => d.class === wanted)));
}

// The classes that occur, most frequent first.
function classesOf(rejects) {
    const counts = new Map();
    for (const { verdict } of rejects) {
        const names = verdict.result === "error" ? ["ERROR"] : new Set(verdict.defects.map((d) => d.class));
        for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1]).slice(0, CLASSES_SHOWN);
}

const describe = (verdict) => `${verdict.result === "ng" ? "NG" : "ERROR"}, part ${verdict.partId}, ${why(verdict)}`;

const Item = ({ camera, reject, onOpen }) => {
    const { verdict } = reject;
    return html`<li><button type="button" class=${`film is-${verdict.result}`} data-test="reject" onClick=${onOpen}
        aria-label=${`${describe(verdict)}, ${time(verdict.ts)}`}>
        <${Thumbnail} shot=${camera.pictures.get(verdict.rawPartId)} verdict=${verdict} />
        <span class="film-head"><${Shape} of=${verdict.result} size=${18} /> ${verdict.partId}</span>
        <span class="film-why">${why(verdict)}</span>
        <span class="small">${time(verdict.ts)}${reject.late ? " · late" : ""}${reject.feedback ? ` · said: ${reject.feedback.toUpperCase()}` : ""}</span>
    </button></li>`;
};

export function Rejects({ camera, command, settings }) {
    const [wanted, want] = useState(null), [page, setPage] = useState(0), [open, setOpen] = useState(null);
    // Whoever looks at older ones shall not have them moved under his finger.
    const held = useRef(null);
    const all = page > 0 && held.current ? held.current : camera.rejects;
    const list = filtered(all, wanted), pages = Math.max(Math.ceil(list.length / PAGE), 1);
    const at = Math.min(page, pages - 1);
    const go = (to) => {
        if (page === 0 && to > 0) held.current = [...camera.rejects];
        if (to === 0) held.current = null;
        setPage(to);
    };
    const filter = (name) => { want(name); go(0); };
    const classes = classesOf(camera.rejects);
    return html`<section class="card rejects" aria-label="Last rejects">
        <div class="bar"><h2>Last rejects</h2><p class="small" data-test="kept">${count(list.length)}${wanted ? ` with ${wanted}, of ${count(all.length)}` : ""} kept</p>
            <div class="buttons" role="group" aria-label="Pages">
                <button type="button" data-test="newer" disabled=${at === 0} onClick=${() => go(at - 1)}>‹ Newer</button>
                <span class="page">${at + 1} of ${pages}</span>
                <button type="button" data-test="older" disabled=${at >= pages - 1} onClick=${() => go(at + 1)}>Older ›</button>
                ${page > 0 && html`<button type="button" onClick=${() => go(0)}>Newest</button>`}
            </div></div>
        ${classes.length > 0 && html`<div class="buttons filters" role="group" aria-label="Show only">
            <button type="button" aria-pressed=${String(!wanted)} onClick=${() => filter(null)}>All</button>
            ${classes.map(([name, n]) => html`<button type="button" data-test="class" aria-pressed=${String(wanted === name)} onClick=${() => filter(name)}>${name} <span class="n">${n}</span></button>`)}
        </div>`}
        ${list.length ? html`<ul class="strip">${list.slice(at * PAGE, (at + 1) * PAGE).map((reject) => html`<${Item} key=${`${reject.verdict.stream}/${reject.verdict.seq}`}
            camera=${camera} reject=${reject} onOpen=${() => setOpen(reject)} />`)}</ul>` : html`<p class="nothing">No rejects${wanted ? " of this class" : " yet"}.</p>`}
        ${open && html`<${Look} camera=${camera} reject=${open} list=${list} onOpen=${setOpen} onClose=${() => setOpen(null)} command=${command} settings=${settings} />`}
    </section>`;
}

function Feedback({ camera, reject, command, settings }) {
    const [result, setResult] = useState("");
    const { verdict } = reject;
    const can = camera.info?.capabilities.has("feedback") && verdict.rawPartId;
    const say = async (word) => {
        setResult("Sending …");
        const more = settings.operator ? { operator: settings.operator } : {};
        const reply = await command(camera.id, "feedback", { part_id: verdict.rawPartId, verdict: word, ...more });
        if (reply.ok) reject.feedback = word;
        setResult(reply.ok ? `Recorded: this was ${word === "ok" ? "OK" : "a defect"}.` : `Not recorded: ${reply.error}`);
    };
    return html`<div class="feedback"><div class="buttons">
            <button type="button" data-test="was-ok" disabled=${!can} onClick=${() => say("ok")}><${Shape} of="ok" size=${22} /> This was OK</button>
            <button type="button" data-test="was-ng" disabled=${!can} onClick=${() => say("ng")}><${Shape} of="ng" size=${22} /> This was a defect</button></div>
        <p role="status" data-test="feedback">${can ? result || (reject.feedback ? `Recorded: ${reject.feedback.toUpperCase()}` : "") : "This camera takes no feedback."}</p></div>`;
}

export function Look({ camera, reject, list, onOpen, onClose, command, settings }) {
    const [zoom, setZoom] = useState(1), [overlay, setOverlay] = useState(true);
    const { verdict } = reject, at = list.indexOf(reject);
    const facts = [["Time", time(verdict.ts)], ["Number", count(verdict.seq)], ["Recipe", verdict.recipe], ["Model", verdict.model], ["Back end", verdict.backend],
        ["Latency", milliseconds(verdict.latencyMs)], ["Clock", verdict.clock]];
    const move = (step) => { setZoom(1); onOpen(list[at + step]); };
    return html`<${Dialog} title=${`${verdict.result === "ok" ? "OK" : verdict.result === "ng" ? "NG" : "ERROR"}: part ${verdict.partId}`} onClose=${onClose}>
        <div class="look">
            <div class="stage" tabindex="0" role="group" aria-label="Picture, scrolls when enlarged">
                <${Picture} url=${camera.pictures.get(verdict.rawPartId)?.url} verdict=${verdict} overlay=${overlay} zoom=${zoom} label=${describe(verdict)} /></div>
            <div class="side">
                <div class="buttons" role="group" aria-label="View">
                    <button type="button" aria-label="Smaller" disabled=${zoom <= 1} onClick=${() => setZoom(Math.max(zoom / 2, 1))}>−</button>
                    <button type="button" aria-label="Larger" data-test="larger" disabled=${zoom >= 8} onClick=${() => setZoom(zoom * 2)}>+</button>
                    <button type="button" aria-pressed=${String(overlay)} onClick=${() => setOverlay(!overlay)}>Boxes</button>
                    <button type="button" aria-label="Newer reject" disabled=${at <= 0} onClick=${() => move(-1)}>‹</button>
                    <button type="button" aria-label="Older reject" disabled=${at < 0 || at >= list.length - 1} onClick=${() => move(1)}>›</button>
                </div>
                ${verdict.reasons.length > 0 && html`<ul class="reasons">${verdict.reasons.map((r) => html`<li>${r}</li>`)}</ul>`}
                ${verdict.defects.length > 0 && html`<table><caption class="hidden">Defects</caption><thead><tr><th scope="col">Class</th><th scope="col">Score</th></tr></thead>
                    <tbody>${verdict.defects.slice(0, 12).map((d) => html`<tr><td>${d.class}</td><td>${percent(d.score, 0)}</td></tr>`)}</tbody></table>`}
                <dl class="rows">${facts.filter(([, v]) => v).map(([name, v]) => html`<div><dt>${name}</dt><dd>${v}</dd></div>`)}</dl>
                <${Feedback} key=${`${verdict.stream}/${verdict.seq}`} camera=${camera} reject=${reject} command=${command} settings=${settings} />
            </div>
        </div>
    </${Dialog}>`;
}
