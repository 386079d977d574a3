/** What lies over the talk, and what both that it may hold have in common. */
export const overlayStyles = `
.cover{position:absolute;inset:0;background:#0004;display:flex;align-items:end}
.sheet{display:flex;flex-direction:column;inline-size:100%;max-block-size:80%;background:var(--_background);border-radius:var(--_radius) var(--_radius) 0 0;padding-block-end:env(safe-area-inset-bottom)}
.sheet.whole{block-size:100%;max-block-size:none;border-radius:0}
.top{display:flex;align-items:center;flex:none;padding:6px;padding-inline:16px 8px}
.top h2{flex:1;font-size:1.05em;font-weight:650;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.list,.source{overflow-y:auto;overscroll-behavior:contain;padding:4px 16px 20px;display:grid;gap:12px;align-content:start}
`;
