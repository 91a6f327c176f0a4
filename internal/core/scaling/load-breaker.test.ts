import { describe, expect, it } from "vitest";

import { seededRandom } from "../../base/random.js";
import {
  LOAD_FAILURES_FREE,
  LOAD_PAUSE_FIRST_MS,
  LOAD_PAUSE_JITTER,
  LOAD_PAUSE_MAX_MS,
  LOAD_PROBE_MS,
  LOAD_REVISIONS_MAX,
  LoadBreaker,
} from "./load-breaker.js";

const MEAN = 0.5;

/** One that has failed so often, one load after the other, the last at 0. */
function failing(times: number): LoadBreaker<string> {
  const breaker = new LoadBreaker<string>();
  for (let i = times - 1; i >= 0; i -= 1) breaker.failed("r", `failure ${times - i}`, -i - 0.5, -i, MEAN);
  return breaker;
}

describe("the breaker of loads", () => {
  it("lets the first failures be: each caller sees a load of its own", () => {
    const breaker = failing(LOAD_FAILURES_FREE - 1);
    expect(breaker.mayStart("r", 0)).toEqual({ kind: "load" });
    expect(breaker.mayLoad("r", 0)).toEqual({ kind: "load" });
    expect(breaker.paused(0)).toBe(0);
  });

  it("then answers with what the last one said, until the pause is over", () => {
    const breaker = failing(LOAD_FAILURES_FREE);
    const answer = { kind: "answer", failure: `failure ${LOAD_FAILURES_FREE}`, failures: LOAD_FAILURES_FREE };
    expect(breaker.mayStart("r", 100)).toEqual({ ...answer, leftMs: LOAD_PAUSE_FIRST_MS - 100 });
    expect(breaker.mayLoad("r", 100)).toEqual({ ...answer, leftMs: LOAD_PAUSE_FIRST_MS - 100 });
    expect([breaker.paused(100), breaker.paused(LOAD_PAUSE_FIRST_MS)]).toEqual([1, 0]);
  });

  it("lets one sandbox try after the pause, and what is there already", () => {
    const breaker = failing(LOAD_FAILURES_FREE);
    expect(breaker.known("r", LOAD_PAUSE_FIRST_MS)).toEqual({ kind: "load" }); // to ask is not to try
    expect(breaker.mayStart("r", LOAD_PAUSE_FIRST_MS)).toEqual({ kind: "load" });
    expect(breaker.mayStart("r", LOAD_PAUSE_FIRST_MS)).toMatchObject({ kind: "answer" });
    expect(breaker.known("r", LOAD_PAUSE_FIRST_MS)).toMatchObject({ kind: "answer" });
    expect(breaker.mayLoad("r", LOAD_PAUSE_FIRST_MS)).toEqual({ kind: "load" });
    // Of that one nothing is heard.
    expect(breaker.mayStart("r", LOAD_PAUSE_FIRST_MS + LOAD_PROBE_MS)).toEqual({ kind: "load" });
  });

  it("doubles its pauses up to a bound, and forgets them when a load succeeds", () => {
    const breaker = failing(LOAD_FAILURES_FREE);
    let now = 0;
    const pauses: number[] = [];
    for (let i = 0; i < 9; i += 1) {
      const verdict = breaker.mayStart("r", now);
      if (verdict.kind !== "answer") throw new Error("it pauses");
      pauses.push(verdict.leftMs);
      now += verdict.leftMs;
      breaker.failed("r", "again", now, now + 1, MEAN);
      now += 1;
    }
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    breaker.loaded("r");
    expect(breaker.mayStart("r", now)).toEqual({ kind: "load" });
  });

  it("counts a burst that failed together as one pause", () => {
    const breaker = new LoadBreaker<string>();
    for (let i = 0; i < 64; i += 1) breaker.failed("r", "no", 0, 10 + i, MEAN);
    const verdict = breaker.mayStart("r", 100);
    expect(verdict).toMatchObject({ kind: "answer", failures: 64 });
    expect(verdict.kind === "answer" && verdict.leftMs).toBeLessThanOrEqual(LOAD_PAUSE_FIRST_MS);
  });

  it.each([0, 0.25, 1])("spreads its pauses by chance (%d)", (chance) => {
    const breaker = new LoadBreaker<string>();
    for (let i = 0; i < LOAD_FAILURES_FREE; i += 1) breaker.failed("r", "no", i, i, chance);
    const verdict = breaker.mayStart("r", LOAD_FAILURES_FREE - 1);
    const expected = LOAD_PAUSE_FIRST_MS * (1 + LOAD_PAUSE_JITTER * (2 * chance - 1));
    expect(verdict).toMatchObject({ leftMs: expected });
  });

  it("remembers a bounded number of revisions, and each by itself", () => {
    const breaker = new LoadBreaker<string>();
    for (let r = 0; r <= LOAD_REVISIONS_MAX; r += 1) {
      for (let i = 0; i < LOAD_FAILURES_FREE; i += 1) breaker.failed(`r${r}`, "no", i, i, MEAN);
    }
    expect(breaker.mayStart("r0", 10)).toEqual({ kind: "load" });
    expect(breaker.mayStart("r1", 10)).toMatchObject({ kind: "answer" });
    expect(breaker.mayStart("another", 10)).toEqual({ kind: "load" });
  });

  it("does not let ten minutes of calls of code that never loads make more than a few dozen sandboxes", () => {
    const random = seededRandom(5);
    const breaker = new LoadBreaker<string>();
    let loads = 0;
    let longestWithout = 0;
    let last = 0;
    for (let now = 0; now < 600_000; now += 10) {
      if (breaker.mayStart("r", now).kind !== "load") continue;
      loads += 1;
      longestWithout = Math.max(longestWithout, now - last);
      last = now;
      breaker.failed("r", "no", now, now + 5, random.next());
    }
    expect(loads).toBeLessThan(50);
    expect(longestWithout).toBeLessThan(LOAD_PAUSE_MAX_MS * (1 + LOAD_PAUSE_JITTER) + 20);
  });
});
