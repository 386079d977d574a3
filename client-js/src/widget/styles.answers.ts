import { markdownStyles } from "./styles.markdown.ts";
import { overlayStyles } from "./styles.overlay.ts";

/** What is in an answer or below it, beside its text. */
export const answerStyles = `${markdownStyles}${overlayStyles}
.live .text>p:last-child::after,.live .text>:last-child>li:last-child:not(:has(p,ul,ol))::after,.live .text>:last-child>li:last-child>p:last-child::after{content:"";display:inline-block;inline-size:.5em;block-size:1em;margin-inline-start:.2em;vertical-align:-.12em;border-radius:1px;background:var(--_accent)}
.note{display:flex;flex-wrap:wrap;align-items:center;gap:0 4px;padding-block:4px}
.note .link{font-size:.87em}
.user .note{order:1;inline-size:100%;justify-content:end;text-align:end}
.user .actions{margin:0 4px}
.actions{display:flex;align-items:center;margin-inline:-12px;min-block-size:44px}
.actions svg{inline-size:18px;block-size:18px}
.actions [aria-pressed=true]{color:var(--_accent)}
.actions [aria-pressed=true] path{fill:currentColor;fill-opacity:.25}
.version{font-size:.87em;color:var(--_muted);font-variant-numeric:tabular-nums;white-space:nowrap}
.comment{display:flex;gap:8px;padding-block:4px 12px}
.comment button{flex:none}
.thought,.tool{font-size:.93em;color:var(--_muted)}
details.thought,.tool{margin-block-end:8px}
div.thought{white-space:pre-wrap;overflow-wrap:anywhere;border-inline-start:2px solid var(--_border);padding-inline-start:12px}
summary{cursor:pointer;min-block-size:32px;display:list-item;align-content:center}
.parley-comment{color:var(--_muted)}
.parley-string{color:light-dark(#1a6b3c,#8fd6a4)}
.parley-number{color:light-dark(#8a4b00,#f0b878)}
.parley-keyword{color:light-dark(#7b2fa0,#d3a6f0)}
.approval{border:1px solid var(--_border);border-radius:14px;padding:14px;margin-block:4px 10px;display:grid;gap:10px;background:var(--_surface)}
.approval p:first-child{font-weight:600}
fieldset{display:flex;gap:8px}
fieldset button{flex:1;text-align:center}
.approval pre{background:var(--_background)}
.approval pre,.tool pre{white-space:pre-wrap;overflow-wrap:anywhere}
.tool pre{max-block-size:12em}
.tool pre+pre{margin-block-start:6px}
.sources{list-style:none;display:flex;flex-wrap:wrap;gap:6px;padding-block:8px 2px}
.sources li{min-inline-size:0;max-inline-size:100%}
.sources button{display:flex;align-items:center;gap:8px;max-inline-size:100%;border-color:var(--_border);border-radius:12px;padding:0 12px;font-size:.87em}
.sources bdi{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.number{color:var(--_accent);font-weight:650;font-variant-numeric:tabular-nums}
.source blockquote{white-space:pre-wrap;overflow-wrap:anywhere;color:var(--_text);background:var(--_highlight);border-color:var(--_accent);padding:10px 12px;border-start-end-radius:8px;border-end-end-radius:8px}
[data-do=more] svg{stroke-width:3}
[dir=rtl] .turns{transform:scaleX(-1)}
.main{background:var(--_accent);color:var(--_on-accent);font-weight:600}
input{background:var(--_background);border:1px solid var(--_edge);border-radius:10px;min-block-size:44px;padding:0 12px;inline-size:100%;font-size:16px}
input[type=checkbox]{inline-size:20px;min-block-size:20px;accent-color:var(--_accent)}
@media(pointer:fine){.actions{margin-inline:-9px}.actions .icon{inline-size:36px}}
@media(hover:hover) and (forced-colors:none){.message:not(:hover,:focus-within,:not(.page)>:last-child) .actions{svg{visibility:hidden}.version{color:#0000}}}
@media(prefers-reduced-motion:no-preference){
.late{animation:late .8s}
@keyframes late{from,99%{visibility:hidden}}
}
`;
