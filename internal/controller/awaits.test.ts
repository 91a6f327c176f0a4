import { expect, it } from "vitest";

import { ManualClock } from "../../test/harness/clock.js";
import { WeftError } from "../base/errors.js";
import type { ActivationId } from "../base/ids.js";
import type { ActionActivation } from "../core/activation/types.js";
import { Awaits } from "./awaits.js";

const ID = "a".repeat(32) as ActivationId;
const record = { of: "action", id: ID, namespace: "guest" } as ActionActivation;

function world() {
  const clock = new ManualClock();
  let stored: ActionActivation | undefined;
  const awaits = new Awaits({
    clock,
    activations: {
      get: (namespace) =>
        stored?.namespace === namespace
          ? Promise.resolve(stored)
          : Promise.reject(new WeftError("notFound", "ACTIVATION_NOT_FOUND", "none")),
    },
  });
  const wait = (namespace = "guest", signal = new AbortController().signal) =>
    awaits.wait(namespace, ID, 60_000, signal);
  return { clock, awaits, wait, store: (): void => void (stored = record) };
}

it("tells whoever waits for a record when it is stored, and forgets them", async () => {
  const { awaits, wait, clock } = world();
  const both = [wait(), wait()];
  await clock.elapse(10);
  awaits.recorded(record);
  expect(await Promise.all(both)).toEqual([record, record]);
  expect(awaits.size).toBe(0);
  expect(clock.pending).toBe(0);
});

it("tells of a record that is there already, and of one that another controller stored", async () => {
  const { wait, store, clock } = world();
  const before = wait();
  await clock.elapse(0);
  store();
  expect(await wait()).toBe(record);
  await clock.elapse(2_000);
  expect(await before).toBe(record);
});

it("tells nothing of another namespace's, and nothing when the wait ends or the caller hangs up", async () => {
  const { awaits, wait, clock } = world();
  const hangUp = new AbortController();
  const [foreign, hungUp] = [wait("other"), wait("guest", hangUp.signal)];
  await clock.elapse(10);
  hangUp.abort();
  expect(await hungUp).toBeUndefined();
  awaits.recorded(record);
  await clock.elapse(60_000);
  expect(await foreign).toBeUndefined();
  expect(clock.pending).toBe(0);
});

it("sends those who wait to another controller when it stops", async () => {
  const { awaits, wait, clock } = world();
  const waiting = wait();
  await clock.elapse(0);
  awaits.close();
  await expect(waiting).rejects.toMatchObject({ kind: "unavailable" });
  await expect(wait()).rejects.toMatchObject({ kind: "unavailable" });
});
