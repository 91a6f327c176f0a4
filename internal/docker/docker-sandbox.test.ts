// Why a container ended, as Docker tells it on either version of control groups. The containers are scripted: what a real
// one says depends on the machine.

import type { Container } from "dockerode";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";

import { silentLog } from "../base/log.js";
import { ManualClock } from "../../test/harness/clock.js";
import { aSpec } from "../core/sandbox/driver.suite.js";
import { DockerSandbox } from "./docker-sandbox.js";
import { Freezer } from "./freezer.js";

interface Ending {
  readonly code: number;
  /** How many times Docker is asked before it knows of an out-of-memory kill; undefined: there was none. */
  readonly oomAfterLooks?: number;
  readonly lastWords?: string;
}

async function endOf({ code, oomAfterLooks, lastWords = "" }: Ending): Promise<unknown> {
  const clock = new ManualClock();
  let looks = 0;
  const container = {
    id: "scripted",
    wait: () => Promise.resolve({ StatusCode: code }),
    inspect: () => {
      looks += 1;
      return Promise.resolve({ State: { OOMKilled: oomAfterLooks !== undefined && looks > oomAfterLooks } });
    },
  } as unknown as Container;
  const freezer = new Freezer(clock, "/nowhere");
  const sandbox = new DockerSandbox(
    { clock, log: silentLog, freezer, gone: () => {}, left: () => {} },
    aSpec({ memoryMb: 128 }),
    "/nowhere",
    container,
    "b-1",
  );
  const output = new PassThrough();
  sandbox.attached(output);
  const words = Buffer.from(lastWords);
  const header = Buffer.from([2, 0, 0, 0, 0, 0, 0, words.length]);
  output.end(Buffer.concat([header, words]));
  let ended: unknown;
  void sandbox.exited.then((exit) => (ended = exit));
  for (let turns = 0; turns < 100 && ended === undefined; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10);
  }
  return ended;
}

const outOfMemory = { kind: "outOfMemory", limitMb: 128 };

describe("why a container ended", () => {
  it.each<readonly [string, Ending, object]>([
    ["Docker knows of the kill at once", { code: 137, oomAfterLooks: 0 }, outOfMemory],
    ["Docker hears of the kill after the exit", { code: 137, oomAfterLooks: 3 }, outOfMemory],
    ["the kernel killed a child, and the runtime gave up", { code: 1, oomAfterLooks: 0 }, outOfMemory],
    [
      "V8's heap was full before the container's memory",
      { code: 134, lastWords: "FATAL ERROR: JavaScript heap out of memory" },
      outOfMemory,
    ],
    ["somebody killed it", { code: 137 }, { kind: "exited", code: 137, signal: "SIGKILL" }],
    ["it ended by itself", { code: 7 }, { kind: "exited", code: 7, signal: undefined }],
    [
      "it ended by itself and only spoke of memory",
      { code: 1, lastWords: "heap out of memory" },
      { kind: "exited", code: 1, signal: undefined },
    ],
  ])("is told when %s", async (_, ending, exit) => {
    expect(await endOf(ending)).toEqual(exit);
  });
});
