// Bundles src/ into one page that asks nobody for anything: dashboard.html.
// Usage: node build.mjs [OUTPUT]; the packages of package-lock.json must be installed.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const output = process.argv[2] ?? join(here, "dashboard.html");

async function bundle(entry) {
    const result = await build({
        entryPoints: [join(here, "src", entry)],
        bundle: true,
        minify: true,
        write: false,
        format: "iife",
        target: ["chrome100", "firefox100", "safari15"],
        legalComments: "none",
        charset: "utf8",
    });
    return result.outputFiles[0].text.trim();
}

// Whoever passes the page on passes these on, too.
function licenses() {
    return ["preact", "htm"].map((name) => {
        const folder = join(here, "node_modules", name);
        const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
        return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8").trim()}`;
    }).join("\n\n----\n\n").replaceAll("--", "- -");
}

const script = (await bundle("main.js")).replaceAll("</script", "<\\/script");
const style = await bundle("style.css");
const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
// Nothing but this very script runs, whatever a part's name contains.
const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "img-src blob: data:",
    "connect-src ws: wss:",
    "base-uri 'none'",
    "form-action 'none'",
].join("; ");
const fill = {
    POLICY: policy, STYLE: style, SCRIPT: script, LICENSES: licenses(),
};
const page = readFileSync(join(here, "src/page.html"), "utf8").replace(/@(\w+)@/g, (_, name) => fill[name]);
writeFileSync(output, page);
console.log(`${output}: ${Buffer.byteLength(page)} bytes`);
