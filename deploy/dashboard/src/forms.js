// Logging in, and what this panel is set to.
import { useState } from "preact/hooks";
import { Dialog } from "./dialog.js";
import { html } from "./html.js";
import { isRoot, parseShifts, printShifts } from "./settings.js";

export function Login({ login, problem, onLogin }) {
    const submit = (event) => {
        event.preventDefault();
        const form = new FormData(event.target);
        onLogin({ url: form.get("url"), username: form.get("username"), password: form.get("password") }, form.get("keep") === "on");
    };
    return html`<main class="login"><form class="card" onSubmit=${submit}>
        <h1>Sightline</h1>
        <p role="alert" class="problem">${problem}</p>
        <label>Name <input name="username" autocomplete="username" required defaultValue=${login.username} /></label>
        <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
        <label>Broker <input name="url" required defaultValue=${login.url} inputmode="url" /></label>
        <label class="check"><input type="checkbox" name="keep" /> Stay logged in on this panel</label>
        <button type="submit" class="strong">Log in</button>
    </form></main>`;
}

export function Settings({ settings, onSave, onClose, onLogout }) {
    const [problem, setProblem] = useState("");
    const submit = (event) => {
        event.preventDefault();
        const form = new FormData(event.target), shifts = parseShifts(form.get("shifts")), staleS = Number(form.get("stale")), root = form.get("root");
        if (!shifts) setProblem("Shifts: expected times such as 06:00, 14:00, 22:00.");
        else if (!(staleS >= 1 && staleS <= 3600)) setProblem("Data counts as old after 1 to 3600 seconds.");
        else if (!isRoot(root)) setProblem("Topics: expected levels of a-z, 0-9 and - with / between them.");
        else onSave({ ...settings, shifts, staleS, root, operator: form.get("operator").trim().slice(0, 63) });
    };
    return html`<${Dialog} title="Settings" onClose=${onClose} small><form onSubmit=${submit}>
        <p role="alert" class="problem">${problem}</p>
        <label>Shifts begin at <input name="shifts" defaultValue=${printShifts(settings.shifts)} /></label>
        <label>Data is old after (seconds) <input name="stale" inputmode="decimal" defaultValue=${settings.staleS} /></label>
        <label>Topics begin with <input name="root" defaultValue=${settings.root} /></label>
        <label>Your name, for feedback <input name="operator" autocomplete="off" defaultValue=${settings.operator} /></label>
        <div class="buttons"><button type="submit" class="strong">Save</button><button type="button" onClick=${onLogout}>Log out</button></div>
    </form></${Dialog}>`;
}
