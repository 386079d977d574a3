import { VARIABLES } from "./variables.ts";

const variables = Object.entries(VARIABLES)
  .map(([name, value]) => `--_${name}:var(--parley-${name},${value});`)
  .join("");

const base = `
:host{all:initial;display:contents;color-scheme:light dark;${variables}--_edge:color-mix(in srgb,var(--_muted) 70%,var(--_background))}
:host([theme=light]){color-scheme:light}
:host([theme=dark]){color-scheme:dark}
:host([inline]){display:block;block-size:var(--_height)}
:host([hidden]),[hidden]{display:none!important}
*{box-sizing:border-box}
.frame,.launcher{font:var(--_font-size)/1.5 var(--_font);color:var(--_text)}
h2,h3,p,ul,ol,fieldset,blockquote{margin:0;padding:0;border:0;min-inline-size:0}
button,input,textarea{font:inherit;color:inherit;margin:0}
button{cursor:pointer;background:none;border:1px solid #0000;border-radius:10px;padding:0 14px;min-block-size:44px;text-align:start;touch-action:manipulation}
button:disabled,[aria-disabled=true]{opacity:.4;cursor:default}
:focus{outline:none}
:focus-visible{outline:2px solid var(--_accent);outline-offset:2px}
svg{display:block;inline-size:20px;block-size:20px;fill:none;stroke:currentColor;stroke-width:1.8;stroke-linecap:round;stroke-linejoin:round}
.icon,.send{inline-size:44px;padding:0;display:inline-grid;place-items:center;color:var(--_muted);flex:none}
.plain{border-color:var(--_edge);background:var(--_background)}
.link{color:var(--_accent);font-weight:600;padding:0 8px}
.faint{color:var(--_muted);font-size:.87em}
.bad{color:var(--_danger);font-size:.87em}
.unseen{position:absolute;inline-size:1px;block-size:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
::placeholder{color:var(--_muted);opacity:1}
@media(hover:hover){.icon:hover,.plain:hover,.starter:hover,.pick:hover,.sources button:hover{background:var(--_surface);color:var(--_text)}}
`;

const frame = `
.frame{inline-size:100%;block-size:100%;max-inline-size:none;max-block-size:none;padding:0;margin:0;overflow:hidden;background:var(--_background);border:1px solid var(--_border);border-radius:var(--_radius)}
section.frame{display:block}
dialog.frame{position:fixed;inset:auto;inset-inline-end:var(--_inset);inset-block-end:var(--_inset);inline-size:min(var(--_width),100vw - 2*var(--_inset));block-size:min(var(--_height),100dvh - 2*var(--_inset));z-index:var(--_z-index);box-shadow:var(--_shadow)}
.launcher{position:fixed;inset-inline-end:var(--_inset);inset-block-end:max(var(--_inset),env(safe-area-inset-bottom));z-index:var(--_z-index);inline-size:56px;block-size:56px;padding:0;border-radius:50%;display:grid;place-items:center;background:var(--_accent);color:var(--_on-accent);box-shadow:var(--_shadow)}
.launcher svg{inline-size:26px;block-size:26px}
.news::after{content:"";position:absolute;inset-block-start:0;inset-inline-end:0;inline-size:16px;block-size:16px;border-radius:50%;background:var(--_danger);border:2px solid var(--_background)}
.panel,.stage{position:relative;display:flex;flex-direction:column;block-size:100%;min-block-size:0;overflow:hidden}
.stage{flex:1}
.header{display:flex;align-items:center;gap:2px;flex:none;padding:6px;padding-inline:16px 8px;border-block-end:1px solid var(--_border)}
.header slot{display:flex;align-items:center;gap:10px;flex:1;min-inline-size:0}
.name{font-size:1.05em;font-weight:650;line-height:1.3;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.logo{inline-size:28px;block-size:28px;border-radius:8px;object-fit:cover;flex:none}
.connection,.notice,.editing{display:flex;align-items:center;gap:8px;flex:none;min-block-size:44px;padding-inline:16px 8px;background:var(--_surface);font-size:.9em}
.connection span,.notice span,.editing span{flex:1;padding-block:8px}
.connection .link,.connection svg{flex:none}
.place,.middle{display:flex;flex-direction:column;position:relative;flex:1;min-block-size:0}
.transcript{contain:strict;background:var(--_background);flex:1;overflow-y:auto;overscroll-behavior:contain;padding:16px;scrollbar-width:thin;scrollbar-color:var(--_border) #0000}
.transcript:focus-visible{outline-offset:-3px}
.page{contain:layout style}
.asleep{content-visibility:auto}
.latest{position:absolute;inset-block-end:10px;inset-inline:0;margin-inline:auto;background:var(--_background);border-color:var(--_border);box-shadow:0 2px 8px #0002}
.empty{min-block-size:100%;display:flex;flex-direction:column;justify-content:center}
.empty slot{display:flex;flex-direction:column;gap:12px;align-items:center;text-align:center}
.greeting{font-size:1.35em;font-weight:650;line-height:1.3;max-inline-size:20em;text-wrap:balance}
.starters{display:flex;flex-direction:column;gap:8px;inline-size:100%;max-inline-size:24em;margin-block-start:8px}
.starter{border-color:var(--_border);padding:10px 14px;border-radius:12px}
.composer{flex:none;padding:8px 12px;padding-block-end:max(12px,env(safe-area-inset-bottom))}
.editing{border-radius:14px 14px 0 0;margin:0 8px}
.field{display:flex;align-items:end;gap:4px;padding:4px;border:1px solid var(--_edge);border-radius:26px;background:var(--_background)}
.field:focus-within{border-color:var(--_accent)}
.input{flex:1;min-inline-size:0;field-sizing:content;min-block-size:44px;max-block-size:9.5em;padding:10px;padding-inline:12px 4px;font-size:16px;line-height:24px;border:0;background:none;resize:none;outline:none!important;overflow-wrap:anywhere}
.send,.stop,.latest{border-radius:50%}
.send{background:var(--_accent);color:var(--_on-accent)}
.send.idle{background:var(--_surface);color:var(--_muted)}
.stop{background:var(--_surface);color:var(--_text)}
.stop path{fill:currentColor}
`;

const messages = `
.message{margin-block-end:6px;scroll-margin:12px;border-radius:8px}
.message .text{overflow-wrap:anywhere;hyphens:auto;hyphenate-limit-chars:12 4 4;unicode-bidi:isolate}
.raw{white-space:pre-wrap}
.user{display:flex;flex-flow:row-reverse wrap;align-items:end;margin-block-end:14px}
.user .text{max-inline-size:calc(100% - 52px);white-space:pre-wrap;background:var(--_user-background);color:var(--_user-text);border:1px solid #0000;border-radius:18px;border-end-end-radius:6px;padding:8px 14px}
.dots{display:inline-flex;align-items:center;gap:10px;color:var(--_muted);font-size:.93em;min-block-size:32px}
.dots::before{content:"";inline-size:9px;block-size:9px;border-radius:50%;background:var(--_accent);flex:none}
.cut .dots,.cut .live ::after{display:none!important}
`;

const conditions = `
@media(max-width:480px){dialog.frame{inset:0;inline-size:100%;block-size:100dvh;border:0;border-radius:0;padding-block-start:env(safe-area-inset-top)}}
@media(prefers-reduced-motion:no-preference){
.dots::before{animation:pulse 1.2s ease-in-out infinite}
dialog.frame,.sheet{animation:rise .18s ease-out}
@keyframes pulse{50%{transform:scale(.55)}}
@keyframes rise{from{opacity:0;transform:translateY(12px)}}
}
@media(forced-colors:active){.user .text,.send,.stop,.launcher,.main,.icon{border-color:ButtonBorder}.dots::before{background:CanvasText}}
`;

let shared: CSSStyleSheet | undefined;
let added = "";

/** One sheet for every element in the page; constructed, since a strict policy forbids style elements. */
export function sheet(): CSSStyleSheet {
  if (!shared) {
    shared = new CSSStyleSheet();
    style("");
  }
  return shared;
}

/** Adds what a part brings, before the conditions, which have the last word. */
export function style(rules: string): void {
  added += rules;
  shared?.replaceSync(base + frame + messages + added + conditions);
}
