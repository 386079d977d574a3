import assert from "node:assert/strict";
import { test } from "node:test";

import { delay } from "../src/backoff.ts";
import { dice } from "./chance.ts";

test("a delay lies between nothing and a bound that doubles up to a minute", () => {
  const chance = dice(30);
  for (const failures of [0, 1, 2, 6, 7, 8, 100, 5000]) {
    const bound = Math.min(60_000, 500 * 2 ** failures);
    assert.equal(delay(failures, 0), 0);
    assert.equal(delay(failures, 0.5), bound / 2);
    for (let draw = 0; draw < 100; draw++) {
      const drawn = delay(failures, chance());
      assert.ok(drawn >= 0 && drawn <= bound, `${drawn} after ${failures}`);
    }
  }
});

test("a thousand clients do not come back in step", () => {
  // Kolmogorov and Smirnov find no difference from uniform delays (5 % level).
  const chance = dice(30);
  const delays = Array.from({ length: 1000 }, () => delay(3, chance()) / 4000).sort(
    (a, b) => a - b,
  );
  const distance = Math.max(...delays.map((one, rank) => Math.abs((rank + 1) / 1000 - one)));
  assert.ok(distance < 1.36 / Math.sqrt(1000), `${distance}`);
});
