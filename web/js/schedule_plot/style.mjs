/** Look of the schedule plot, in the colours of ComfyUI's themes. */

export const CSS = `
.gvr-plot { font: 11px/1.4 var(--font-inter, Inter, Arial, sans-serif); color: var(--fg-color, #ddd);
  padding: 4px 6px; box-sizing: border-box; width: 100%; user-select: none; text-align: left; }
.gvr-plot-area { position: relative; height: 84px; border-radius: 4px; overflow: hidden;
  background: var(--comfy-input-bg, #222); }
.gvr-plot-area svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; }
.gvr-plot-window { fill: var(--p-primary-color, #4a9eff); opacity: 0.16; }
.gvr-plot-done { fill: var(--fg-color, #ddd); opacity: 0.1; }
.gvr-plot-line { fill: none; stroke: var(--p-primary-color, #4a9eff); stroke-width: 2; stroke-linejoin: round; }
.gvr-plot-dots { fill: none; stroke: var(--p-primary-color, #4a9eff); stroke-width: 5; stroke-linecap: round; }
.gvr-plot-bars { fill: var(--fg-color, #ddd); opacity: 0.45; }
.gvr-plot-now { stroke: var(--fg-color, #fff); stroke-width: 2; }
.gvr-plot-tag { position: absolute; font-size: 10px; line-height: 1; padding: 1px 3px; white-space: nowrap;
  color: var(--descrip-text, #999); pointer-events: none; }
.gvr-plot-tag.gvr-plot-strong { color: var(--fg-color, #ddd); }
.gvr-plot-text { margin-top: 3px; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.gvr-plot-note { color: var(--descrip-text, #999); overflow-wrap: anywhere; }
.gvr-plot-problem { color: color-mix(in srgb, var(--fg-color, #ddd) 35%, #e07a00); overflow-wrap: anywhere; }
.gvr-plot-note:empty, .gvr-plot-problem:empty { display: none; }
`;
