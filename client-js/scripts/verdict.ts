/** What is wrong with a weight; nothing, if it lies within its bounds, both included. */
export function verdict(weight: number, [floor, budget]: readonly [number, number]): string {
  if (weight > budget) return "TOO BIG";
  // Once a gate measured a file that had been left empty, and was content.
  return weight < floor ? "TOO SMALL to be the whole of it" : "";
}
