import { describe, expect, it } from "vitest";

import { every, sleep } from "../../internal/base/clock.js";
import { ManualClock } from "./clock.js";
import { eventually } from "./eventually.js";

describe("a manual clock", () => {
  it("runs due timers in order of time, then of setting, with what they set in turn", () => {
    const clock = new ManualClock(1_000);
    const ran: [string, number, number][] = [];
    const mark = (name: string) => (): void => void ran.push([name, clock.monoMs(), clock.wallMs()]);
    clock.after(20, mark("late"));
    clock.after(10, () => {
      mark("early")();
      clock.after(5, mark("nested"));
    });
    clock.after(20, mark("late, second"));
    clock.after(21, mark("not yet"));
    clock.advance(20);
    expect(ran).toEqual([
      ["early", 10, 1_010],
      ["nested", 15, 1_015],
      ["late", 20, 1_020],
      ["late, second", 20, 1_020],
    ]);
    expect(clock.pending).toBe(1);
    expect(clock.nextInMs).toBe(1);
  });

  it("lets promises go on between timers when it elapses", async () => {
    const clock = new ManualClock();
    const at: number[] = [];
    const walk = (async () => {
      for (let i = 0; i < 3; i += 1) {
        await sleep(clock, 10);
        at.push(clock.monoMs());
      }
    })();
    await clock.elapse(30);
    await walk;
    expect(at).toEqual([10, 20, 30]);
  });

  it("moves wall time alone when told to", () => {
    const clock = new ManualClock(5_000);
    clock.jumpWall(-4_000);
    expect([clock.wallMs(), clock.monoMs()]).toEqual([1_000, 0]);
  });
});

describe("every and sleep", () => {
  it("repeats until it is ended and leaves no timer", () => {
    const clock = new ManualClock();
    let times = 0;
    const end = every(clock, 10, () => (times += 1));
    clock.advance(9);
    expect(times).toBe(0);
    clock.advance(31);
    expect(times).toBe(4);
    end();
    clock.advance(100);
    expect([times, clock.pending]).toEqual([4, 0]);
  });

  it("can be ended from inside its own act", () => {
    const clock = new ManualClock();
    let times = 0;
    const end = every(clock, 10, () => {
      times += 1;
      end();
    });
    clock.advance(100);
    expect([times, clock.pending]).toEqual([1, 0]);
  });

  it("wakes with the signal's reason and leaves no timer", async () => {
    const clock = new ManualClock();
    const abort = new AbortController();
    const sleeping = sleep(clock, 1_000, abort.signal);
    abort.abort(new Error("enough"));
    await expect(sleeping).rejects.toThrow("enough");
    await expect(sleep(clock, 1_000, abort.signal)).rejects.toThrow("enough");
    expect(clock.pending).toBe(0);
  });
});

describe("eventually", () => {
  it("returns what became true", async () => {
    let looks = 0;
    expect(await eventually(() => (looks += 1) >= 3 && "there", { everyMs: 1 })).toBe("there");
    expect(looks).toBe(3);
  });

  it("says what it last saw when time is up", async () => {
    const look = (): void => {
      expect("yellow").toBe("green");
    };
    await expect(eventually(look, { withinMs: 20, everyMs: 5 })).rejects.toThrow(
      /not within 20 ms.*last seen: .*yellow/s,
    );
  });

  it("gives up on a look that hangs", async () => {
    await expect(eventually(() => new Promise<void>(() => {}), { withinMs: 20 })).rejects.toThrow("did not end");
  });
});
