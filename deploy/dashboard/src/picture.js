// A part's picture with its defects drawn over it; where there is no picture, where they are.
import { useEffect, useRef } from "preact/hooks";
import { html } from "./html.js";

const RATIO_TOLERANCE = 0.02;

export function Boxes({ verdict, alone }) {
    const width = verdict.width || 100, height = verdict.height || 100;
    const font = Math.max(width, height) / 26;
    return html`<svg class=${alone ? "boxes alone" : "boxes"} viewBox=${`0 0 ${width} ${height}`} aria-hidden="true" focusable="false">
        ${alone && html`<rect class="board" width=${width} height=${height} />`}
        ${verdict.defects.filter((d) => d.box).map((d) => {
            const [x1, y1, x2, y2] = d.box;
            const x = x1 * width, y = y1 * height, above = y > 1.3 * font;
            return html`<g>
                <rect class="defect" x=${x} y=${y} width=${Math.max((x2 - x1) * width, 1)} height=${Math.max((y2 - y1) * height, 1)} />
                <text x=${Math.min(x, width * 0.8)} y=${above ? y - font * 0.3 : y2 * height + font} font-size=${font}>${d.class}</text>
            </g>`;
        })}
    </svg>`;
}

// Boxes fit a picture only if it shows the whole part.
function fits(event, verdict) {
    const { naturalWidth, naturalHeight } = event.target;
    const ratio = (naturalWidth * verdict.height) / (naturalHeight * verdict.width);
    event.target.parentElement.classList.toggle("part", !(Math.abs(ratio - 1) < RATIO_TOLERANCE));
}

export function Picture({ url, verdict, overlay, label, zoom = 1 }) {
    if (!url && !verdict) return html`<div class="picture empty"><p>No picture yet</p></div>`;
    const style = zoom > 1 ? { width: `${zoom * 100}%`, maxWidth: "none" } : undefined;
    return html`<div class="picture" style=${style} role=${label ? "img" : undefined} aria-label=${label || undefined}>
        ${url && html`<img src=${url} alt="" decoding="async" onLoad=${(e) => verdict && fits(e, verdict)} />`}
        ${verdict && (overlay || !url) && html`<${Boxes} verdict=${verdict} alone=${!url} />`}
        ${!url && verdict && !verdict.defects.length && html`<p class="note">No picture</p>`}
    </div>`;
}

const THUMBNAIL = { width: 200, height: 150 };

// Small and drawn once, decoded at the size that it is shown in: a strip of them costs little.
export function Thumbnail({ shot, verdict }) {
    const canvas = useRef(null);
    useEffect(() => {
        if (shot) draw(canvas.current, shot, verdict).catch(() => {});
    }, [shot]);
    if (!shot) return html`<${Picture} verdict=${verdict} overlay=${true} label="" />`;
    return html`<div class="picture"><canvas ref=${canvas} width=${THUMBNAIL.width} height=${THUMBNAIL.height}></canvas></div>`;
}

async function draw(canvas, shot, verdict) {
    const { width, height } = THUMBNAIL;
    const ratio = verdict.width && verdict.height ? verdict.width / verdict.height : 1;
    const w = Math.round(Math.min(width, height * ratio)), h = Math.round(w / ratio);
    const bitmap = await createImageBitmap(shot.blob, { resizeWidth: w, resizeHeight: h, resizeQuality: "medium" });
    const context = canvas.getContext("2d"), x0 = (width - w) / 2, y0 = (height - h) / 2;
    context.drawImage(bitmap, x0, y0);
    bitmap.close();
    context.lineWidth = 2;
    context.strokeStyle = "#ff6a5f";
    context.fillStyle = "#ff4d4d2e";
    for (const { box } of verdict.defects) {
        if (!box) continue;
        const at = [x0 + box[0] * w, y0 + box[1] * h, Math.max((box[2] - box[0]) * w, 2), Math.max((box[3] - box[1]) * h, 2)];
        context.fillRect(...at);
        context.strokeRect(...at);
    }
}
