// The connection to the broker, and commands to cameras with their answers.
import { Client } from "./mqtt.js";

const REPLY_MS = 8000;
const COMMAND_EXPIRY_S = 10;

const randomId = (n) => Array.from(crypto.getRandomValues(new Uint8Array(n)), (b) => (b % 36).toString(36)).join("");

export class Session {
    constructor(store, login, onChange) {
        this.store = store;
        this.name = `dashboard-${randomId(10)}`;
        this.state = "connecting"; // connecting, up, down, refused
        this.problem = "";
        this.lostAt = null;
        const { root } = store.settings;
        this.client = new Client({
            url: login.url,
            clientId: this.name,
            username: login.username,
            password: login.password,
            filters: [`${root}/#`],
            onUp: () => {
                this.state = "up";
                this.problem = "";
                onChange();
            },
            onDown: (problem, fatal) => {
                if (this.state === "up") this.lostAt = Date.now();
                this.state = fatal ? "refused" : "down";
                this.problem = problem;
                onChange();
            },
            onMessage: (message) => store.take(message),
        });
    }

    close() { this.client.close(); }

    // {ok, error}. Never rejects.
    async command(camera, verb, args) {
        const id = randomId(16), { root } = this.store.settings;
        const answer = new Promise((resolve) => {
            this.store.replies.set(id, resolve);
            setTimeout(() => resolve({ ok: false, error: "the camera does not answer" }), REPLY_MS);
        });
        const sent = await this.client.publish(`${root}/${camera}/cmd/${verb}`, JSON.stringify({ id, ...args }), {
            expiry: COMMAND_EXPIRY_S, responseTopic: `${root}/${camera}/reply/${this.name}`,
        });
        const reply = sent.error ? { ok: false, error: sent.error } : await answer;
        this.store.replies.delete(id);
        return reply;
    }
}
