// Recipe and thresholds: what would be judged otherwise is shown before anything changes.
import { useState } from "preact/hooks";
import { Dialog } from "./dialog.js";
import { count, html } from "./html.js";

const PARTS = 1000;
const EVERY = "every class";

// "12 of 980 parts would become NG", and what nobody can tell.
function told(d) {
    const judged = d.parts - d.unknown;
    const lines = [`${count(d.ok_to_ng)} of ${count(judged)} parts would become NG, ${count(d.ng_to_ok)} would become OK.`,
        `NG: ${count(d.ng_before)} before, ${count(d.ng_after)} after.`];
    if (d.unknown) lines.push(`Of ${count(d.unknown)} more parts the scores do not say.`);
    return lines;
}

const isCount = (d) => ["parts", "unknown", "ok_to_ng", "ng_to_ok", "ng_before", "ng_after"].every((k) => Number.isInteger(d[k]));

function Threshold({ camera, command }) {
    const list = camera.info.thresholds;
    const [name, setName] = useState(list[0][0]), [value, setValue] = useState(list[0][1]);
    const [asked, setAsked] = useState(null), [problem, setProblem] = useState("");
    const now = list.find(([n]) => n === name)?.[1];
    const choose = (chosen) => {
        setName(chosen);
        setValue(list.find(([n]) => n === chosen)?.[1] ?? value);
        setAsked(null);
    };
    const run = async (apply) => {
        setProblem("Counting …");
        const reply = await command(camera.id, "threshold", { value, parts: PARTS, apply, ...(name === EVERY ? {} : { class: name }) });
        setProblem(reply.ok ? (apply ? "Applied." : "") : `Not done: ${reply.error}`);
        setAsked(reply.ok && isCount(reply.data) && !apply ? { ...reply.data, at: value } : null);
    };
    return html`<h3>Threshold</h3>
        <label>Class <select data-test="class-choice" value=${name} onChange=${(e) => choose(e.target.value)}>${[...list.map(([n]) => n), EVERY].map((n) => html`<option value=${n}>${n}</option>`)}</select></label>
        <label>A score from ${value.toFixed(2)} on is a defect${now === undefined ? "" : ` (now ${now.toFixed(2)})`}
            <input type="range" data-test="threshold" min="0.05" max="1" step="0.01" value=${value} onInput=${(e) => { setValue(Number(e.target.value)); setAsked(null); }} /></label>
        <div class="buttons"><button type="button" data-test="what-if" onClick=${() => run(false)}>What if?</button>
            <button type="button" class="strong" data-test="apply" disabled=${!asked || asked.at !== value} onClick=${() => run(true)}>Apply</button></div>
        <div role="status" data-test="what-if-told">${problem && html`<p>${problem}</p>`}${asked && told(asked).map((line) => html`<p>${line}</p>`)}</div>`;
}

function Recipe({ camera, command }) {
    const { recipes, recipe } = camera.info;
    const [name, setName] = useState(recipe), [job, setJob] = useState(camera.info.job), [result, setResult] = useState("");
    const change = async () => {
        setResult("Changing over …");
        const reply = await command(camera.id, "recipe", { name, ...(job ? { job_id: job } : {}) });
        setResult(reply.ok ? `Changed to ${name}.` : `Nothing changed: ${reply.error}`);
    };
    return html`<h3>Recipe</h3>
        <label>Recipe <select data-test="recipe" value=${name} onChange=${(e) => setName(e.target.value)}>${recipes.map((r) => html`<option value=${r}>${r}</option>`)}</select></label>
        <label>Job <input data-test="job" maxlength="60" value=${job} onInput=${(e) => setJob(e.target.value)} /></label>
        <div class="buttons"><button type="button" class="strong" data-test="change-over" onClick=${change}>Change over</button></div>
        <p role="status" data-test="recipe-told">${result}</p>`;
}

export function Tuning({ camera, command, onClose }) {
    const i = camera.info;
    return html`<${Dialog} title=${`${camera.id}: recipe and thresholds`} onClose=${onClose} small>
        ${i.capabilities.has("recipe") && i.recipes.length > 0 && html`<${Recipe} key=${i.recipe} camera=${camera} command=${command} />`}
        ${i.capabilities.has("threshold") && i.thresholds.length > 0 && html`<${Threshold} key=${`t${i.recipe}`} camera=${camera} command=${command} />`}
    </${Dialog}>`;
}
