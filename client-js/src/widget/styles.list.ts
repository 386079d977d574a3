export const listStyles = `
.list{flex:1}
.list label{display:flex;gap:10px;align-items:center;min-block-size:44px;font-size:.93em}
.list ul{list-style:none}
.list li{display:flex;flex-wrap:wrap;align-items:center;border-block-start:1px solid var(--_border);padding-block:4px}
.pick{flex:1;min-inline-size:0;display:grid;gap:1px;padding:8px;margin-inline-start:-8px}
.pick span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.pick[aria-current] :first-child{color:var(--_accent);font-weight:600}
.doings :last-child{color:var(--_danger)}
.doings{margin-inline:-8px;display:flex;flex-wrap:wrap;inline-size:100%}
.list form{display:flex;gap:8px;inline-size:100%;padding-block:4px}
.list form button{flex:none}
`;
