// A part's picture with its defects drawn over it; where there is no picture, where they are.
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
