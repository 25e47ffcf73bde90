// What this panel is set to; kept in the browser.

const KEY = "sightline-settings";
const LOGIN = "sightline-login";
const DEFAULTS = { root: "sightline", staleS: 3, shifts: [6 * 60, 14 * 60, 22 * 60], operator: "", overlay: true, live: false };

export function parseShifts(text) {
    const out = [];
    for (const part of text.split(",")) {
        const m = /^\s*([01]?\d|2[0-3]):([0-5]\d)\s*$/.exec(part);
        if (!m) return null;
        out.push(Number(m[1]) * 60 + Number(m[2]));
    }
    const sorted = [...new Set(out)].sort((a, b) => a - b);
    return sorted.length && sorted.length <= 8 ? sorted : null;
}

export const printShifts = (shifts) => shifts.map((m) => `${String(Math.floor(m / 60)).padStart(2, "0")}:${String(m % 60).padStart(2, "0")}`).join(", ");
export const isRoot = (text) => /^[a-z0-9-]+(\/[a-z0-9-]+){0,4}$/.test(text);

export function loadSettings() {
    const out = { ...DEFAULTS };
    try {
        const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
        if (typeof kept.root === "string" && isRoot(kept.root)) out.root = kept.root;
        if (Number.isFinite(kept.staleS) && kept.staleS >= 1 && kept.staleS <= 3600) out.staleS = kept.staleS;
        if (typeof kept.shifts === "string") out.shifts = parseShifts(kept.shifts) ?? out.shifts;
        if (typeof kept.operator === "string") out.operator = kept.operator.slice(0, 63);
        for (const key of ["overlay", "live"]) if (typeof kept[key] === "boolean") out[key] = kept[key];
    } catch { /* defaults */ }
    return out;
}

export function saveSettings(settings) {
    try {
        localStorage.setItem(KEY, JSON.stringify({ ...settings, shifts: printShifts(settings.shifts) }));
    } catch { /* for this time only */ }
}

// Where the broker is, and who we are: from the fragment of the address (once, then it is taken away,
// so that it stays out of bookmarks and sight), else what the browser kept.
export function findLogin() {
    const fragment = new URLSearchParams(location.hash.slice(1));
    const served = location.protocol.startsWith("http");
    const url = served ? `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/mqtt` : "ws://127.0.0.1:9001/mqtt";
    const login = { url, username: "", password: "" };
    try {
        Object.assign(login, JSON.parse(sessionStorage.getItem(LOGIN) ?? localStorage.getItem(LOGIN) ?? "{}"));
    } catch { /* asks again */ }
    if (served) login.url = url;
    if (fragment.has("broker") && fragment.get("broker") !== login.url) {
        // A link must not be able to send the kept password elsewhere.
        Object.assign(login, { url: fragment.get("broker"), username: "", password: "" });
    }
    if (fragment.has("user")) {
        login.username = fragment.get("user");
        login.password = fragment.get("password") ?? "";
        keepLogin(login, false);
    }
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    return login;
}

export function keepLogin(login, forEver) {
    try {
        sessionStorage.setItem(LOGIN, JSON.stringify(login));
        if (forEver) localStorage.setItem(LOGIN, JSON.stringify(login));
    } catch { /* asks again next time */ }
}

export function forgetLogin() {
    try {
        sessionStorage.removeItem(LOGIN);
        localStorage.removeItem(LOGIN);
    } catch { /* nothing was kept */ }
}
