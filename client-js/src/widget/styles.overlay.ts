/** What lies over the talk: a source, the list of conversations. */
export const overlayStyles = `
.cover{position:absolute;inset:0;background:#0004;display:flex;align-items:end}
.sheet{display:flex;flex-direction:column;inline-size:100%;max-block-size:80%;background:var(--_background);border-radius:var(--_radius) var(--_radius) 0 0;padding-block-end:env(safe-area-inset-bottom)}
.sheet.whole{block-size:100%;max-block-size:none;border-radius:0}
.top{display:flex;align-items:center;flex:none;padding:6px 8px;padding-inline:16px 8px}
.top h2{flex:1;font-size:1.05em;font-weight:650;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.source,.list{overflow-y:auto;overscroll-behavior:contain;padding:4px 16px 20px;display:grid;gap:12px;align-content:start}
.source blockquote{white-space:pre-wrap;overflow-wrap:anywhere;color:var(--_text);background:var(--_highlight);border-color:var(--_accent);padding:10px 12px;border-start-end-radius:8px;border-end-end-radius:8px}
.list{flex:1}
.list label{display:flex;gap:10px;align-items:center;min-block-size:44px;font-size:.93em}
.list ul{list-style:none}
.list li{display:flex;flex-wrap:wrap;align-items:center;border-block-start:1px solid var(--_border);padding-block:4px}
.pick{flex:1;min-inline-size:0;display:grid;gap:1px;padding:8px;margin-inline-start:-8px}
.pick span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.pick[aria-current]{color:var(--_accent);font-weight:600}
.doings{margin-inline:-8px;display:flex;flex-wrap:wrap;inline-size:100%}
.list form{display:flex;gap:8px;inline-size:100%;padding-block:4px}
.list form button{flex:none}
`;
