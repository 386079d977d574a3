/**
 * What a page may set, each with its default. Inside, `--_name` stands for `--parley-name`. Lengths are em and px only:
 * rem would be the host page's.
 */
export const VARIABLES = {
  accent: "light-dark(#2b59c3,#a3b8ff)",
  "on-accent": "light-dark(#fff,#10193a)",
  background: "light-dark(#fff,#17181c)",
  surface: "light-dark(#f4f5f7,#22242a)",
  text: "light-dark(#1c1e24,#e9eaee)",
  muted: "light-dark(#5d6270,#a4a8b5)",
  border: "light-dark(#dfe1e7,#363942)",
  danger: "light-dark(#b3261e,#ff9d94)",
  "user-background": "light-dark(#e8eefc,#2a3458)",
  "user-text": "var(--_text)",
  highlight: "light-dark(#fdf0b5,#5a4d14)",
  font: 'system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif',
  "code-font": 'ui-monospace,"SF Mono",Menlo,Consolas,monospace',
  "font-size": "15px",
  radius: "16px",
  width: "400px",
  height: "660px",
  inset: "20px",
  shadow: "0 1px 3px #0002,0 12px 40px #0003",
  "z-index": "2147483000",
} as const;
