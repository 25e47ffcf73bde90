// A modal dialog: the browser keeps the focus in it and closes it with Escape.
import { useEffect, useRef } from "preact/hooks";
import { html } from "./html.js";

export function Dialog({ title, onClose, small, children }) {
    const ref = useRef(null);
    useEffect(() => {
        const before = document.activeElement;
        ref.current.showModal();
        return () => before?.isConnected && before.focus();
    }, []);
    return html`<dialog ref=${ref} class=${small ? "small-dialog" : ""} aria-labelledby="dialog-title" onClose=${onClose}>
        <header><h2 id="dialog-title">${title}</h2><button type="button" class="close" aria-label="Close" onClick=${onClose}>✕</button></header>
        ${children}
    </dialog>`;
}
