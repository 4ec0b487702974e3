// Style of the player. Sizes are in em, so that full screen on a large display enlarges everything at once.

const CSS = `
.gvr-cv { --line: var(--border-color, #4e4e4e); --ink: var(--input-text, #ddd); --soft: var(--descrip-text, #999);
    --ground: var(--comfy-input-bg, #222); --accent: var(--p-primary-color, #3b9ded);
    box-sizing: border-box; display: flex; flex-direction: column; width: 100%; height: 100%;
    min-width: 0; min-height: 17.5em; overflow: hidden; color: var(--ink); background: var(--ground);
    border: 1px solid var(--line); border-radius: 0.5em; font: 13px/1.3 system-ui, sans-serif;
    container-type: inline-size; user-select: none; -webkit-user-select: none; text-align: left; }
.gvr-cv *, .gvr-cv *::before, .gvr-cv *::after { box-sizing: border-box; }
.gvr-cv:focus { outline: none; }
.gvr-cv:focus-visible, .gvr-cv :focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
.gvr-cv [hidden] { display: none !important; }
.gvr-cv-unseen { position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0; overflow: hidden;
    clip-path: inset(50%); white-space: nowrap; border: 0; }

.gvr-cv-stage { position: relative; flex: 1 1 0; min-height: 8em; overflow: hidden; background: #0b0b0c;
    touch-action: none; cursor: ew-resize; }
.gvr-cv-stage[data-mode="side"], .gvr-cv-stage[data-mode="difference"] { cursor: default; }
.gvr-cv-stage[data-zoomed="true"] { cursor: grab; }
.gvr-cv-stage[data-at-line="true"] { cursor: ew-resize; }
.gvr-cv-stage[data-drag="pan"] { cursor: grabbing; }
.gvr-cv-panes { position: absolute; inset: 0; isolation: isolate; }
.gvr-cv-pane { position: absolute; overflow: hidden; }
.gvr-cv-picture { position: absolute; left: 0; top: 0; overflow: hidden; transform-origin: 0 0; }
.gvr-cv-picture video { position: absolute; display: block; max-width: none; max-height: none; margin: 0;
    object-fit: fill; pointer-events: none; }
.gvr-cv-stage[data-pixels="true"] video { image-rendering: pixelated; }
.gvr-cv-stage[data-mode="difference"] .gvr-cv-pane + .gvr-cv-pane { mix-blend-mode: difference; }

.gvr-cv-line { position: absolute; top: 0; bottom: 0; width: 0; pointer-events: none; }
.gvr-cv-line::before { content: ""; position: absolute; top: 0; bottom: 0; left: -1px; width: 2px;
    background: #fff; box-shadow: 0 0 0 1px #0006; }
.gvr-cv-line::after { content: "‹ ›"; position: absolute; top: 50%; left: -1.05em; width: 2.1em; height: 2.1em;
    margin-top: -1.05em; border-radius: 50%; background: #fffffff0; color: #222; box-shadow: 0 0 0 1px #0006;
    font: 600 1em/1.95em system-ui, sans-serif; text-align: center; letter-spacing: 0.05em; }
.gvr-cv-range-line:focus-visible + .gvr-cv-line::after { outline: 3px solid var(--accent); outline-offset: 1px; }
.gvr-cv-name { position: absolute; top: 0.55em; max-width: calc(100% - 1em); padding: 0.1em 0.5em; overflow: hidden;
    border-radius: 0.35em; background: #000000a8; color: #fff; font-size: 0.92em; line-height: 1.5;
    white-space: nowrap; text-overflow: ellipsis; pointer-events: none; }
.gvr-cv-name small { opacity: 0.75; font-size: 0.92em; margin-left: 0.35em; }
.gvr-cv-name-a { left: 0.55em; }
.gvr-cv-name-b { right: 0.55em; }
.gvr-cv-stage[data-mode="side"] .gvr-cv-name-b { right: auto; left: 0.55em; }
.gvr-cv-word { position: absolute; inset: 0; display: flex; flex-direction: column; align-items: center;
    justify-content: center; gap: 0.6em; padding: 1em 1.4em; background: var(--ground); color: var(--soft);
    text-align: center; cursor: default; user-select: text; -webkit-user-select: text; }
.gvr-cv-word .gvr-cv-icon { width: 2.6em; height: 2.6em; opacity: 0.6; }
.gvr-cv-word p { margin: 0; max-width: 26em; }
.gvr-cv-word p:first-of-type { color: var(--ink); }
.gvr-cv-notes { margin: 0; padding: 0.35em 0.7em; border-top: 1px solid var(--line); color: var(--soft);
    font-size: 0.92em; list-style: none; }

.gvr-cv-time { display: flex; align-items: center; gap: 0.6em; padding: 0.35em 0.6em 0; border-top: 1px solid var(--line); }
.gvr-cv-count { flex: none; min-width: 5.4em; font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap;
    color: var(--soft); }
.gvr-cv-count b { color: var(--ink); font-weight: 600; }
.gvr-cv-bar { display: flex; flex-wrap: wrap; align-items: center; gap: 0.15em 0.5em; padding: 0.25em 0.4em 0.4em; }
.gvr-cv-group { display: flex; align-items: center; gap: 0.1em; }
.gvr-cv-zooms { margin-left: auto; }
@container (max-width: 37em) {
    .gvr-cv-modes, .gvr-cv-pictures { margin-left: auto; }
    .gvr-cv-zooms { margin-left: 0; }
}
.gvr-cv-button { display: inline-flex; align-items: center; justify-content: center; flex: none; width: 2.15em; height: 2.15em;
    margin: 0; padding: 0; border: 0; border-radius: 0.4em; background: transparent; color: var(--ink); font: inherit;
    cursor: pointer; }
.gvr-cv-button:hover:not(:disabled, [aria-pressed="true"]) { background: color-mix(in srgb, var(--ink) 14%, transparent); }
.gvr-cv-button[aria-pressed="true"] { background: color-mix(in srgb, var(--accent) 28%, transparent); color: var(--ink); }
.gvr-cv-button:disabled, .gvr-cv :disabled { opacity: 0.35; cursor: default; }
.gvr-cv-icon { width: 1.25em; height: 1.25em; stroke-width: 1.3; stroke-linecap: round; stroke-linejoin: round; }
.gvr-cv-modes { padding: 0.1em; border: 1px solid var(--line); border-radius: 0.55em; }
.gvr-cv-modes .gvr-cv-button { height: 1.85em; }
.gvr-cv-zoom { width: 3.4em; font-variant-numeric: tabular-nums; }
.gvr-cv-select { height: 2.15em; margin: 0; padding: 0 0.3em; border: 1px solid transparent; border-radius: 0.4em;
    background: transparent; color: var(--ink); font: inherit; cursor: pointer; }
.gvr-cv-select:hover { border-color: var(--line); }
.gvr-cv-select option { background: var(--ground); color: var(--ink); }
.gvr-cv-range { flex: 1 1 0; min-width: 0; width: 100%; height: 1.6em; margin: 0; background: transparent; cursor: pointer;
    accent-color: var(--accent); }
.gvr-cv-gain { display: flex; align-items: center; gap: 0.5em; padding: 0.3em 0.6em 0; color: var(--soft);
    border-top: 1px solid var(--line); }
.gvr-cv-gain output { flex: none; min-width: 2.4em; color: var(--ink); text-align: right; font-variant-numeric: tabular-nums; }

.gvr-cv:fullscreen { width: 100vw; height: 100vh; border: 0; border-radius: 0; font-size: clamp(14px, 1.35vmin, 30px); }
`;

/** Puts the style into the page, once. */
export function addStyle() {
    if (document.getElementById("gvr-cv-style")) return;
    const style = document.createElement("style");
    style.id = "gvr-cv-style";
    style.textContent = CSS;
    document.head.append(style);
}
