// The page: what is where, and when it is drawn.
import { Component, render } from "preact";
import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { Health, Model, Shift } from "./cards.js";
import { Charts } from "./charts.js";
import { csv, download } from "./csv.js";
import { Login, Settings } from "./forms.js";
import { age, html, Shape, time, why } from "./html.js";
import { Lamp, lampState, Tab } from "./lamp.js";
import { Picture } from "./picture.js";
import { Look, Rejects } from "./rejects.js";
import { Session } from "./session.js";
import { findLogin, forgetLogin, keepLogin, loadSettings, saveSettings } from "./settings.js";
import { Store } from "./store.js";

const DRAW_MS = 250;    // drawn at most so often, however much arrives
const CALM_MS = 900;    // and what is not urgent
const TICK_MS = 500;    // ages are looked at so often
const SAVE_MS = 10000;
const ANNOUNCE_MS = 5000;
const PREVIEW_S = 10;   // somebody looks: asked again before that is over
const FRAME_MS = 5000;  // a live picture older than this is none

// Draws at once after a pause, and then at most every DRAW_MS.
function useDrawing(store) {
    const [, draw] = useReducer((n) => n + 1, 0);
    const state = useRef({ last: 0, timer: 0 });
    const request = useRef(() => {
        const s = state.current;
        if (s.timer) return;
        s.timer = setTimeout(() => {
            s.timer = 0;
            s.last = performance.now();
            draw();
        }, Math.max(0, s.last + DRAW_MS - performance.now()));
    }).current;
    useEffect(() => {
        store.listeners.add(request);
        const ticks = setInterval(request, TICK_MS);
        return () => {
            store.listeners.delete(request);
            clearInterval(ticks);
        };
    }, [store]);
    return request;
}

// What nobody has to see at once is drawn less often.
class Calm extends Component {
    drawn = -Infinity;
    shouldComponentUpdate(next) {
        return next.camera !== this.props.camera || next.settings !== this.props.settings || performance.now() - this.drawn >= CALM_MS;
    }
    render({ children }) {
        this.drawn = performance.now();
        return children;
    }
}

// For screen readers: a reject now and then, not every part.
function Announcer({ camera, state }) {
    const said = useRef({ at: 0, text: "" });
    const now = performance.now();
    if (now - said.current.at > ANNOUNCE_MS) {
        const text = state.old ? `${camera.id}: no new data` : state.of === "ng" || state.of === "error" ? `${camera.id}: ${state.of === "ng" ? "NG" : "ERROR"}, part ${camera.last.partId}, ${why(camera.last)}` : said.current.text;
        if (text !== said.current.text) said.current = { at: now, text };
    }
    return html`<p class="hidden" role="status" aria-live="polite">${said.current.text}</p>`;
}

function Warning({ session, camera, state }) {
    if (session.state !== "up") {
        return html`<div class="warning" role="alert" data-test="warning"><${Shape} of="ng" size=${34} /> <span><b>Not connected to the broker.</b> ${session.lostAt ? `What you see is from ${time(session.lostAt)}. ` : ""}${session.problem ? `Trying again: ${session.problem}.` : ""}</span></div>`;
    }
    if (!camera) return null;
    if (state.of === "off") return html`<div class="warning" role="alert" data-test="warning"><${Shape} of="off" size=${34} /> <span><b>${camera.id} is offline.</b> Parts are not being judged as far as the broker knows.</span></div>`;
    if (state.old) return html`<div class="warning" role="alert" data-test="warning"><${Shape} of="wait" size=${34} /> <span><b>No new data${state.age === null ? "" : ` for ${age(state.age)}`}.</b> The lamp shows the past.</span></div>`;
    return null;
}

function View({ camera, settings, onSettings, command, connected }) {
    const live = camera.frame && performance.now() - camera.frameAt < FRAME_MS;
    const url = live ? camera.frame.url : camera.last && camera.pictures.get(camera.last.rawPartId)?.url;
    // Boxes belong to the part that the frame shows, if it was judged.
    const shown = !live ? camera.last : camera.framePart === null ? null : camera.verdicts.slice(-20).reverse().find((v) => v.rawPartId === camera.framePart);
    const [looking, look] = useState(null), [problem, setProblem] = useState("");
    const can = (verb) => camera.info?.capabilities.has(verb);
    const wanted = settings.live && can("preview") && connected;
    useEffect(() => {
        if (!wanted) return undefined;
        const ask = async () => {
            if (document.hidden) return;
            const reply = await command(camera.id, "preview", { rate: 3, seconds: PREVIEW_S });
            setProblem(reply.ok ? "" : `No live picture: ${reply.error}`);
        };
        ask();
        const timer = setInterval(ask, PREVIEW_S * 600);
        return () => clearInterval(timer);
    }, [wanted, camera.id]);
    const snapshot = async () => {
        const reply = await command(camera.id, "snapshot", {});
        setProblem(reply.ok ? "" : `No snapshot: ${reply.error}`);
    };
    return html`<section class="card view" aria-label="Picture">
        <div class="bar"><h2>${live ? "Live" : "Last part"}</h2><div class="buttons">
            ${can("preview") && html`<button type="button" data-test="live" aria-pressed=${String(settings.live)} onClick=${() => onSettings({ ...settings, live: !settings.live })}>Live</button>`}
            ${can("snapshot") && html`<button type="button" data-test="snapshot" onClick=${snapshot}>Snapshot</button>`}
            <button type="button" data-test="overlay" aria-pressed=${String(settings.overlay)} onClick=${() => onSettings({ ...settings, overlay: !settings.overlay })}>Boxes</button>
            <button type="button" data-test="look" disabled=${!camera.last} onClick=${() => look({ verdict: camera.last, late: false, feedback: null })}>Look closer</button></div></div>
        <${Picture} url=${url} verdict=${shown} overlay=${settings.overlay} label=${camera.last ? `Part ${camera.last.partId}: ${why(camera.last) || "no defects"}` : "No picture yet"} />
        <p class="small" role="status" data-test="view-told">${problem}</p>
        ${looking && html`<${Look} camera=${camera} reject=${looking} list=${[looking]} onOpen=${look} onClose=${() => look(null)} command=${command} settings=${settings} />`}
    </section>`;
}

function App({ store, login: first }) {
    const draw = useDrawing(store);
    const [login, setLogin] = useState(first), [chosen, choose] = useState(null), [setting, showSettings] = useState(false);
    const [settings, setSettings] = useState(store.settings);
    const session = useRef(null);
    const ready = Boolean(login.username);
    useEffect(() => {
        if (!ready) return undefined;
        const mine = new Session(store, login, draw);
        session.current = mine;
        draw();
        return () => mine.close();
    }, [login, settings.root]);
    useEffect(() => {
        const timer = setInterval(() => store.save(), SAVE_MS);
        const save = () => store.save();
        addEventListener("pagehide", save);
        return () => {
            clearInterval(timer);
            removeEventListener("pagehide", save);
        };
    }, [store]);
    const change = (next) => {
        if (next.root !== settings.root) store.cameras.clear();
        Object.assign(store.settings, next);
        saveSettings(store.settings);
        setSettings({ ...store.settings });
        showSettings(false);
    };
    if (!ready || session.current?.state === "refused") {
        return html`<${Login} login=${login} problem=${session.current?.problem ?? ""} onLogin=${(next, keep) => {
            session.current = null;
            keepLogin(next, keep);
            setLogin(next);
        }} />`;
    }
    if (!session.current) return html`<main></main>`;
    const command = (...args) => session.current.command(...args);
    const connected = session.current.state === "up", cameras = store.shown();
    const camera = cameras.find((c) => c.id === chosen) ?? cameras[0];
    const stateOf = (c) => lampState(c, connected, settings.staleS * 1000);
    const state = camera && stateOf(camera);
    return html`<header class="top">
            <h1>Sightline</h1>
            <nav class="tabs" aria-label="Cameras">${cameras.map((c) => html`<${Tab} key=${c.id} camera=${c} state=${stateOf(c)} selected=${c === camera} onSelect=${() => choose(c.id)} />`)}</nav>
            <span class=${`badge ${connected ? "is-ok" : "is-ng"}`} data-test="connection"><${Shape} of=${connected ? "ok" : "ng"} size=${22} /> ${connected ? "connected" : "not connected"}</span>
            <span class="clock">${new Date().toTimeString().slice(0, 5)}</span>
            <button type="button" data-test="settings" onClick=${() => showSettings(true)}>Settings</button>
        </header>
        <main>
            <${Warning} session=${session.current} camera=${camera} state=${state} />
            ${camera ? html`<${Announcer} camera=${camera} state=${state} />
                <div class="grid">
                    <${Lamp} camera=${camera} state=${state} />
                    <${View} key=${`v${camera.id}`} camera=${camera} settings=${settings} onSettings=${change} command=${command} connected=${connected} />
                    <${Calm} camera=${camera} settings=${settings}>
                    <${Shift} camera=${camera} onExport=${() => download(`sightline-${camera.id.replaceAll("/", "-")}.csv`, csv(camera.id, camera.verdicts))} />
                    <${Rejects} key=${`f${camera.id}`} camera=${camera} command=${command} settings=${settings} />
                    <${Charts} camera=${camera} />
                    <${Health} camera=${camera} connected=${connected} />
                    <${Model} key=${`m${camera.id}`} camera=${camera} command=${command} />
                    </${Calm}>
                </div>` : html`<p class="nothing">No camera has said anything below “${settings.root}/” yet.</p>`}
            ${setting && html`<${Settings} settings=${settings} onSave=${change} onClose=${() => showSettings(false)} onLogout=${() => {
                forgetLogin();
                location.reload();
            }} />`}
        </main>`;
}

const store = new Store(loadSettings());
store.restore();
render(html`<${App} store=${store} login=${findLogin()} />`, document.getElementById("app"));
