/** What Markdown became. */
export const markdownStyles = `
.assistant .text{line-height:1.6}
.text>:first-child{margin-block-start:0}
.text>:last-child{margin-block-end:0}
.text :is(p,ul,ol,pre,blockquote,table){margin-block:.75em}
.text :is(h3,h4,h5,h6){font-size:1.05em;font-weight:650;line-height:1.35;margin-block:1.2em .4em}
.text :is(h3,h4){font-size:1.2em}
.text :is(ul,ol){padding-inline-start:1.5em}
.text li{margin-block:.25em}
.text .task{position:relative;margin-inline-start:-1.4em;padding-inline-end:.4em;background:var(--_background)}
.text li>:is(p,ul,ol){margin-block:.25em}
a{color:var(--_accent);text-underline-offset:2px;overflow-wrap:anywhere}
blockquote{border-inline-start:3px solid var(--_border);padding-inline-start:12px;color:var(--_muted)}
.text hr{border:0;border-block-start:1px solid var(--_border);margin-block:1.2em}
.text img{max-inline-size:100%;block-size:auto;border-radius:8px}
.text table{border-collapse:collapse;display:block;max-inline-size:100%;overflow-x:auto;font-size:.95em}
.text :is(th,td){border:1px solid var(--_border);padding:6px 10px;text-align:start}
.text th{background:var(--_surface);font-weight:600}
code,pre{font-family:var(--_code-font);direction:ltr;unicode-bidi:isolate;text-align:left;hyphens:none}
code{font-size:.9em;background:var(--_surface);border-radius:5px;padding:.15em .35em}
.text .image,.text span>button{border:1px solid var(--_border);font-size:.93em}
.text pre{position:relative;padding:0;overflow:hidden}
.text pre::before{content:attr(data-language);box-sizing:border-box;display:block;padding:8px 14px 0;min-block-size:32px;font-size:.8em;color:var(--_muted)}
.text pre code{display:block;padding:2px 14px 12px;overflow-x:auto;background:linear-gradient(270deg,var(--_surface) 30%,#0000) 100%/40px 100% no-repeat local,linear-gradient(270deg,light-dark(#0002,#0009),#0000) 100%/14px 100% no-repeat}
.text pre .icon{position:absolute;inset-block-start:-4px;right:0}
pre{margin:0;background:var(--_surface);border:1px solid var(--_border);border-radius:12px;padding:12px 14px;overflow:auto;line-height:1.5}
pre code{background:none;padding:0}
.citation{min-block-size:0;min-inline-size:22px;padding:0;margin-inline:2px;text-align:center;border-radius:6px;background:var(--_surface);color:var(--_accent);font-size:.75em;font-weight:650;line-height:1.5;vertical-align:.25em;position:relative}
.citation::after{content:"";position:absolute;inset:-10px -1px}
`;
