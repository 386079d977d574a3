/** The bench's table: a line for each figure, its goal, and whether it was reached. */

export interface Bound {
  readonly text: string;
  reached(value: number): boolean;
}

export type Goal = Bound | undefined;

export interface Row {
  /** What was done. */
  readonly of: string;
  /** What was measured of it. */
  readonly name: string;
  readonly widget: number;
  readonly plain?: number;
  readonly goal: Goal;
}

export const atLeast = (least: number): Bound => ({
  text: `≥ ${least}`,
  reached: (value) => value >= least,
});

export const atMost = (most: number): Bound => ({
  text: `≤ ${most}`,
  reached: (value) => value <= most,
});

/** Columns as wide as their widest cell, as Markdown reads it too. */
export function table(rows: readonly Row[]): string {
  const cells = [
    ["measure", "figure", "widget", "plain", "ratio", "goal", "verdict"],
    ...rows.map(({ of, name, widget, plain, goal }) => [
      of,
      name,
      number(widget),
      plain === undefined ? "" : number(plain),
      plain ? number(widget / plain) : "",
      goal?.text ?? "",
      goal ? (goal.reached(widget) ? "reached" : "MISSED") : "",
    ]),
  ];
  const widths = (cells[0] as string[]).map((_, column) =>
    Math.max(...cells.map((row) => row[column]?.length ?? 0)),
  );
  const lines = cells.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`,
  );
  lines.splice(1, 0, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`);
  return lines.join("\n");
}

/** Three digits that matter. */
function number(value: number): string {
  return value.toFixed(value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2);
}
