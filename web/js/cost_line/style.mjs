/** Look of the cost line, in the colours of ComfyUI's themes. */

export const CSS = `
.gvr-cost { font: 11px/1.45 var(--font-inter, Inter, Arial, sans-serif); color: var(--fg-color, #ddd);
  padding: 4px 6px; box-sizing: border-box; width: 100%; text-align: left; font-variant-numeric: tabular-nums; }
.gvr-cost-box { background: var(--comfy-input-bg, #222); border-radius: 4px; padding: 5px 7px; }
.gvr-cost-head { font-weight: 600; overflow-wrap: anywhere; }
.gvr-cost-sub, .gvr-cost-note { color: var(--descrip-text, #999); overflow-wrap: anywhere; }
.gvr-cost table { width: 100%; border-collapse: collapse; margin: 3px 0 2px; }
.gvr-cost th, .gvr-cost td { padding: 1px 0 1px 6px; font-weight: 400; text-align: right; white-space: nowrap; }
.gvr-cost th:first-child { text-align: left; white-space: normal; padding-left: 6px; border-left: 2px solid transparent; }
.gvr-cost thead th { color: var(--descrip-text, #999); font-size: 10px; }
.gvr-cost tbody tr { color: var(--descrip-text, #999); }
.gvr-cost tbody tr.gvr-cost-used { color: var(--fg-color, #ddd); }
.gvr-cost tr.gvr-cost-used th:first-child { border-left-color: var(--p-primary-color, #4a9eff); font-weight: 600; }
.gvr-cost-warning { color: color-mix(in srgb, var(--fg-color, #ddd) 35%, #e07a00); font-weight: 600;
  overflow-wrap: anywhere; margin-top: 3px; }
.gvr-cost ul { margin: 2px 0 0; padding-left: 16px; list-style: disc; }
.gvr-cost li { overflow-wrap: anywhere; }
.gvr-cost :empty:not(td):not(th) { display: none; }
.gvr-cost caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
`;
