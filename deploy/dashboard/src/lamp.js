// The big lamp: what became of the last part, and whether that is still true.
import { age, html, milliseconds, Shape, time, why } from "./html.js";

const WORDS = { ok: "OK", ng: "NG", error: "ERROR", wait: "WAITING", off: "OFFLINE" };

// What the lamp shows: {of, old, age}. `of` is a key of WORDS.
export function lampState(camera, connected, staleMs) {
    const since = camera.heard ? performance.now() - camera.heard : null;
    const old = !connected || since === null || since > staleMs;
    if (camera.status === "offline") return { of: "off", old: false, age: since };
    if (!camera.last) return { of: "wait", old, age: since };
    return { of: camera.last.result, old, age: since };
}

export function Lamp({ camera, state }) {
    const { last } = camera, shown = last && state.of in { ok: 1, ng: 1, error: 1 };
    return html`<section class=${`card lamp is-${state.of} ${state.old ? "old" : ""}`} aria-label="Last part">
        <div class="light"><${Shape} of=${state.of} size=${110} /><span class="word" data-test="lamp">${WORDS[state.of]}</span></div>
        ${state.old && state.of !== "wait" && html`<p class="old-note">OLD${state.age === null ? "" : `: ${age(state.age)}`}</p>`}
        ${shown && html`<p class="part-id" data-test="part">Part ${last.partId || "–"}</p>
            <p class="why">${last.result === "ok" ? "no defects" : why(last)}</p>
            <p class="small">${time(last.ts)} · ${milliseconds(last.latencyMs)}</p>`}
    </section>`;
}

export const Tab = ({ camera, state, selected, onSelect }) => html`<button type="button" class=${`tab is-${state.of} ${state.old ? "old" : ""}`}
    aria-pressed=${String(selected)} onClick=${onSelect}><${Shape} of=${state.of} size=${26} /><span>${camera.id}</span>
    <span class="tab-word">${state.old && state.of !== "off" ? `${WORDS[state.of]}, old` : WORDS[state.of]}</span></button>`;
