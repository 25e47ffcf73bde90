// Verdicts as a file for a spreadsheet.

const COLUMNS = ["time", "camera", "seq", "part_id", "result", "reasons", "defects", "classes", "latency_ms", "recipe", "model"];

// A spreadsheet runs what begins with these; an apostrophe makes it text.
function cell(value) {
    const t = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(t) ? `'${t}` : t;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function csv(camera, verdicts) {
    const rows = verdicts.map((v) => [
        v.ts === null ? "" : new Date(v.ts).toISOString(), camera, v.seq, v.partId, v.result, v.reasons.join("; "), v.defectsTotal,
        v.defects.map((d) => d.class).join("; "), v.latencyMs, v.recipe, v.model,
    ]);
    return `\ufeff${[COLUMNS, ...rows].map((r) => r.map(cell).join(",")).join("\r\n")}\r\n`;
}

export function download(name, content) {
    const url = URL.createObjectURL(new Blob([content], { type: "text/csv;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}
