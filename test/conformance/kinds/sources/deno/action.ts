// What an action of this language can be asked to do. ../../README.md says what each act is.

import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import process from "node:process";

interface Context {
  readonly signal: AbortSignal;
  readonly remainingMs: () => number;
}

// deno-lint-ignore no-explicit-any
type Act = (params: any, context: Context) => unknown;

const leftFile: string = path.join(os.tmpdir(), "left-behind");

function fails(): never {
  throw new Error("no luck"); // @throw
}

const acts: Record<string, Act> = {
  echo: (params) => params,
  throw: () => fails(),
  reject: async () => {
    await null;
    throw new Error("no luck");
  },
  text: () => "text",
  circle() {
    const a: Record<string, unknown> = {};
    a.a = a;
    return a;
  },
  nothing() {},
  array: () => [1, "two", { three: 3 }],
  exit({ code }) {
    console.log("last words");
    process.exit(code);
  },
  hang() {
    console.log("still here");
    for (;;);
  },
  eat() {
    console.log("hungry");
    const all = [];
    for (;;) all.push(Buffer.alloc(8 * 1024 * 1024, 1));
  },
  shell({ command }) {
    const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    return { code: status, stderr };
  },
  print({ line, lines }) {
    for (let i = 0; i < lines; i++) console.log(line);
    return {};
  },
  streams() {
    console.log("out 1");
    console.error("err 1");
    console.log("out 2");
    console.error("err 2");
    process.stdout.write("out 3");
    return {};
  },
  bytes({ base64 }) {
    process.stdout.write(Buffer.from([0x41, 0xff, 0xfe, 0x42, 0x0a]));
    return { base64: Buffer.from(base64, "base64").reverse().toString("base64") };
  },
  environment: (params) => ({ env: { ...process.env }, params }),
  wait: ({ ms }) => new Promise((done) => setTimeout(() => done({ waited: ms }), ms)),
  "until-cancelled": (_, { signal }) => {
    console.log("waiting");
    return new Promise((done) => signal.addEventListener("abort", () => done({ cancelled: true })));
  },
  remaining: (_, { remainingMs }) => ({ remainingMs: remainingMs() }),
  fill: ({ chars }) => ({ x: "x".repeat(chars) }),
  leave() {
    process.env.LEFT_BEHIND = "yes";
    fs.writeFileSync(leftFile, "left");
    console.log("left");
    return {};
  },
  look: () => ({
    leftBehind: process.env.LEFT_BEHIND ?? null,
    file: fs.existsSync(leftFile),
    activationId: process.env.__OW_ACTIVATION_ID,
    apiKey: process.env.__OW_API_KEY ?? null,
  }),
  late() {
    setTimeout(() => console.log("late"), 200);
    return {};
  },
};

export function main(params: { readonly act: string }, context: Context): unknown {
  return acts[params.act](params, context);
}

export function other(): unknown {
  return { other: true };
}
