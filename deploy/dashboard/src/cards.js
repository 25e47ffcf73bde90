// The small cards: numbers of the shift, health, model.
import { useState } from "preact/hooks";
import { count, html, percent, Shape, time } from "./html.js";
import { Dialog } from "./dialog.js";
import { Tuning } from "./tuning.js";

export function Shift({ camera, onExport }) {
    const v = camera.counter.value();
    const figures = [["Parts", count(v.parts)], ["Rejects", count(v.rejects)], ["Yield", percent(v.yield)]];
    return html`<section class="card shift" aria-label="This shift">
        <h2>This shift</h2>
        <dl class="figures">${figures.map(([name, value]) => html`<div><dt>${name}</dt><dd data-test=${name.toLowerCase()}>${value}</dd></div>`)}</dl>
        <p class="small">${v.ng ? `${count(v.ng)} NG` : "no NG"}${v.error ? `, ${count(v.error)} ERROR` : ""} · ${v.partial ? "counted" : ""} since ${time(v.since).slice(0, 5)}</p>
        <button type="button" data-test="export" onClick=${onExport}>Export CSV</button>
    </section>`;
}

const bytes = (n) => (n === null ? "" : n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : `${(n / 1e6).toFixed(1)} MB`);
const CLOCK = { synced: "set by the network", holdover: "was set, runs on its own", unsynced: "not set" };

function healthRows(camera, connected) {
    const h = camera.health, rows = [["Broker", connected ? "ok" : "ng", connected ? "connected" : "not connected"]];
    if (!h) return rows;
    rows.push(["Camera", h.camera === "ok" ? "ok" : "ng", h.cameraError || h.camera]);
    const same = h.actual === h.wanted;
    rows.push(["Accelerator", same ? "ok" : "error", same ? h.actual : `${h.actual} instead of ${h.wanted}`]);
    if (h.ledger) rows.push(["Ledger", h.ledger === "ok" ? "ok" : "ng", [h.ledger, h.ledgerRecords === null ? "" : `${count(h.ledgerRecords)} records`, bytes(h.ledgerBytes)].filter(Boolean).join(", ")]);
    if (h.diskFree !== null) rows.push(["Disk", h.diskLow ? "ng" : "ok", `${bytes(h.diskFree)} free`]);
    if (h.queued !== null) rows.push(["Unsent", h.dropped ? "ng" : h.refused ? "error" : "ok", `${count(h.queued)}${h.dropped ? `, ${count(h.dropped)} lost` : ""}${h.refused ? `, ${count(h.refused)} refused` : ""}`]);
    if (h.clock) rows.push(["Clock", h.clock === "synced" ? "ok" : "error", CLOCK[h.clock] ?? h.clock]);
    return rows;
}

const STATES = { good: ["ok", "good"], degraded: ["error", "degraded"], fault: ["ng", "fault"] };
const RATING = { ok: "good: ", error: "attention: ", ng: "bad: " };

export function Health({ camera, connected }) {
    const h = camera.health, [shape, word] = h ? STATES[h.state] : ["wait", "not told"];
    return html`<section class="card health" aria-label="Health">
        <h2>Health <span class=${`badge is-${shape}`}><${Shape} of=${shape} size=${20} /> ${word}</span></h2>
        ${h && h.reasons.length > 0 && html`<ul class="reasons">${h.reasons.map((r) => html`<li>${r}</li>`)}</ul>`}
        ${camera.alarms.size > 0 && html`<ul class="reasons">${[...camera.alarms.values()].map((a) => html`<li>Alarm: ${a}</li>`)}</ul>`}
        <dl class="rows">${healthRows(camera, connected).map(([name, state, value]) => html`<div class=${`is-${state}`}><dt><${Shape} of=${state} size=${20} /> ${name}</dt>
            <dd><span class="hidden">${RATING[state]}</span>${value}</dd></div>`)}</dl>
        ${camera.gaps > 0 && html`<p class="small">${camera.gaps} gaps told since this page was opened</p>`}
    </section>`;
}

const VERBS = {
    update: ["Update", "Install the update that is ready?", "The camera goes on inspecting with the new model. It goes back by itself if the model does not pass its own test."],
    rollback: ["Roll back", "Go back to the model before?", "The camera goes on inspecting with the model that it had before the last update."],
};

export function Model({ camera, command }) {
    const [asked, ask] = useState(null), [result, setResult] = useState("");
    const i = camera.info;
    const can = (verb) => i?.capabilities.has(verb);
    const [tuning, tune] = useState(false);
    const rows = i ? [["Model", i.model], ["Version", i.version], ["Recipe", i.recipe], ["Job", i.job], ["Software", i.software], ["Serial", i.serial]] : [];
    const run = async (verb) => {
        ask(null);
        setResult("Asked the camera …");
        const reply = await command(camera.id, verb, {});
        setResult(reply.ok ? `${VERBS[verb][0]}: the camera has begun.` : `${VERBS[verb][0]}: ${reply.error}`);
    };
    return html`<section class="card model" aria-label="Model">
        <h2>Model</h2>
        <dl class="rows">${[...rows, ...camera.model].filter(([, v]) => v).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
        ${Object.keys(VERBS).some(can) && html`<div class="buttons">${Object.keys(VERBS).filter(can).map((verb) => html`<button type="button" data-test=${verb} onClick=${() => ask(verb)}>${VERBS[verb][0]} …</button>`)}</div>`}
        ${(can("threshold") || can("recipe")) && html`<div class="buttons"><button type="button" data-test="tune" onClick=${() => tune(true)}>Recipe, thresholds …</button></div>`}
        ${tuning && html`<${Tuning} camera=${camera} command=${command} onClose=${() => tune(false)} />`}
        <p class="small" role="status">${result}</p>
        ${asked && html`<${Dialog} title=${VERBS[asked][1]} onClose=${() => ask(null)} small>
            <p>${camera.id}: ${VERBS[asked][2]}</p>
            <div class="buttons"><button type="button" class="strong" data-test="confirm" onClick=${() => run(asked)}>${VERBS[asked][0]}</button>
            <button type="button" onClick=${() => ask(null)}>Cancel</button></div>
        </${Dialog}>`}
    </section>`;
}
