// `weft action invoke --local` as a developer types it: real runtimes, real debuggers, without a fabric and of what one has.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DebugSession } from "../harness/debug-session.js";
import { eventually } from "../harness/eventually.js";
import { CLI, freePort, run, type Ran } from "../harness/fabric.js";
import { describeWith, requireService } from "../harness/services.js";
import { zipOf } from "../harness/zip.js";
import { openFabric, type OpenFabric } from "./fabrics.js";

let dir: string;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "weft-invoke-"));
});
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Nothing here knows of a fabric. */
const environment = (): NodeJS.ProcessEnv => ({ PATH: process.env["PATH"], HOME: dir, NO_COLOR: "1", TMPDIR: dir });
const local = (...args: readonly string[]): Promise<Ran> =>
  run(process.execPath, [CLI, "action", "invoke", "--local", ...args], environment(), dir);
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text);
  return name;
};

/** One that goes on while the test does other things. */
function started(...args: readonly string[]) {
  const child: ChildProcess = spawn(process.execPath, [CLI, "action", "invoke", "--local", ...args], {
    env: environment(),
    cwd: dir,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = new Promise<number | null>((resolve) => child.once("close", resolve));
  const said = (pattern: RegExp): Promise<RegExpExecArray> =>
    eventually(
      () => {
        const match = pattern.exec(stderr);
        if (!match) throw new Error(`${String(pattern)} is not in: ${stderr}`);
        return Promise.resolve(match);
      },
      { withinMs: 20_000, everyMs: 20 },
    );
  return { child, code, said, stdout: () => stdout, stderr: () => stderr };
}

const TALK = `function main(params) {
  console.log("one");
  console.error("two");
  return { msg: "Hello, " + params.name, colour: process.env.COLOUR };
}
`;

describe("weft action invoke --local", () => {
  it("runs a file of JavaScript: the result on standard output, the rest on standard error", async () => {
    const ran = await local(file("hello.js", TALK), "-p", "name", "Bob", "--env", "COLOUR", "blue");
    expect({ ...ran, stdout: JSON.parse(ran.stdout) as unknown }).toMatchObject({
      code: 0,
      stdout: { msg: "Hello, Bob", colour: "blue" },
    });
    expect(ran.stderr).toMatch(
      /hello\.js runs on nodejs:20 \(\d+\.\d+\.\d+\), as a child process, not isolated; started in/,
    );
    expect(ran.stderr).toContain("stdout: one\nstderr: two\n");
    expect(ran.stderr).toMatch(/success in \d+ ms, of which init \d+ ms/);
  });

  it("runs Python, and another function than main", async () => {
    file(
      "page.py",
      'import sys\ndef greet(args):\n    print("one")\n    print("two", file=sys.stderr)\n    return args\n',
    );
    const ran = await local("page.py", "--main", "greet", "--json", "-p", "n", "1.50");
    expect(ran.code).toBe(0);
    const shown = JSON.parse(ran.stdout) as Record<string, unknown>;
    expect(shown).toMatchObject({ kind: "python:3.11", outcome: "success", result: { n: 1.5 }, timedOut: false });
    expect(shown["logs"]).toEqual([expect.stringContaining("stdout: one"), expect.stringContaining("stderr: two")]);
  });

  it("runs a folder, with the links that npm makes left out, and an archive", async () => {
    mkdirSync(join(dir, "folder", "node_modules", ".bin"), { recursive: true });
    mkdirSync(join(dir, "folder", "lib"));
    file("folder/index.js", 'exports.main = () => ({ inner: require("./lib/inner.js") });\n');
    file("folder/lib/inner.js", "module.exports = 5;\n");
    symlinkSync("../x/cli.js", join(dir, "folder", "node_modules", ".bin", "x"));
    expect(JSON.parse((await local("folder")).stdout)).toEqual({ inner: 5 });
    writeFileSync(
      join(dir, "code.zip"),
      zipOf([{ name: "index.js", content: "exports.main = () => ({ packed: true });\n" }]),
    );
    expect((await local("code.zip")).stderr).toContain("which language is code.zip? say --kind");
    expect(JSON.parse((await local("code.zip", "--kind", "nodejs:default")).stdout)).toEqual({ packed: true });
  });

  it("ends with 1 and the developer's own line when the code fails, and with the file's when it does not load", async () => {
    const thrown = await local(file("boom.js", 'function main() {\n  throw new Error("boom");\n}\n'));
    expect(thrown.code).toBe(1);
    expect(JSON.parse(thrown.stdout)).toEqual({ error: "An error has occurred: boom" });
    expect(thrown.stderr).toContain("boom.js:2");
    expect(thrown.stderr).toContain("developer error");
    const broken = await local(file("broken.py", "def main(args):\n    return {\n"));
    expect(broken).toMatchObject({ code: 1, stdout: expect.stringContaining("broken.py:2") as string });
  });

  it("holds time limit and memory", async () => {
    const late = await local(
      file("late.js", "function main() { return new Promise(() => {}); }\n"),
      "--timeout",
      "300",
    );
    expect(late.code).toBe(1);
    expect(late.stdout).toContain("time limits of 300 milliseconds");
    const large = file(
      "large.py",
      "def main(args):\n    return {'n': len([b'x' * 1024 * 1024 for _ in range(2048)])}\n",
    );
    expect((await local(large, "--memory", "128")).stdout).toMatch(/memory/i);
  });

  it("says what is wrong before anything is started", async () => {
    expect((await local("nothere")).stderr).toContain("there is no file nothere here, and no key");
    expect((await local("hello.js", "--kind", "cobol:1")).stderr).toContain("there is no cobol:1; there is nodejs:20");
    expect((await local("hello.js", "--inspect=0")).stderr).toContain("--inspect 0: must be a whole number");
    expect((await local("hello.js", "--inspect", "--docker")).stderr).toContain("--inspect is for child processes");
    expect((await local("nothere", "--watch")).stderr).toContain("--watch needs a file or folder");
    const there = await run(process.execPath, [CLI, "action", "invoke", "x", "--main", "y"], environment(), dir);
    expect(there).toMatchObject({ code: 1, stderr: expect.stringContaining("--main needs --local") as string });
  });

  it("stops in the first line of the function when a debugger comes, and lifts the time limit", async () => {
    const port = await freePort();
    const running = started("hello.js", "-p", "name", "Eve", "--timeout", "100", `--inspect=${port}`);
    const [url] = await running.said(/ws:\/\/\S+/);
    const session = await DebugSession.connect(url);
    await session.call("Runtime.enable");
    await session.call("Debugger.enable");
    await session.call("Runtime.runIfWaitingForDebugger");
    const paused = await eventually(
      () => {
        const found = session.events.find(({ method }) => method === "Debugger.paused");
        if (!found) throw new Error("it does not stop");
        return Promise.resolve(found);
      },
      { withinMs: 10_000, everyMs: 20 },
    );
    const [frame] = paused.params["callFrames"] as readonly {
      readonly callFrameId: string;
      readonly functionName: string;
      readonly location: { readonly lineNumber: number };
    }[];
    expect(frame).toMatchObject({ functionName: "main", location: { lineNumber: 1 } });
    const seen = await session.call("Debugger.evaluateOnCallFrame", {
      callFrameId: frame?.callFrameId,
      expression: "params.name",
    });
    expect(seen["result"]).toMatchObject({ value: "Eve" });
    await session.call("Debugger.resume");
    session.close();
    expect(await running.code).toBe(0);
    expect(JSON.parse(running.stdout())).toMatchObject({ msg: "Hello, Eve" });
    const held = createServer();
    await new Promise<void>((resolve) => held.listen(port, "127.0.0.1", resolve));
    expect((await local("hello.js", `--inspect=${port}`)).stderr).toContain(`port ${port} of 127.0.0.1 cannot be had`);
    held.close();
  });

  it("stops in Python's function, over a socket where debugpy is not installed", async () => {
    const port = await freePort();
    file("add.py", 'def main(args):\n    total = args["a"] + 1\n    return {"total": total}\n');
    const running = started("add.py", "-p", "a", "1", `--inspect=${port}`);
    const [said] = await running.said(/(pdb|debugpy) listens on [\d.:]+/);
    if (said.startsWith("debugpy")) {
      running.child.kill("SIGINT"); // its protocol is its own affair
      await running.code;
      return;
    }
    let heard = "";
    const socket = connect(port, "127.0.0.1").setEncoding("utf8");
    socket.on("data", (text: string) => (heard += text));
    await eventually(() => (heard.includes("(Pdb)") ? Promise.resolve() : Promise.reject(new Error(heard))), {
      withinMs: 10_000,
      everyMs: 20,
    });
    expect(heard).toContain("add.py(2)main()");
    socket.write("n\n!total = 40\nc\n");
    expect(await running.code).toBe(0);
    expect(JSON.parse(running.stdout())).toEqual({ total: 40 });
    socket.destroy();
  });

  it("runs again when the file changes, until Ctrl-C", async () => {
    file("again.js", "function main() { return { round: 1 } }\n");
    const running = started("again.js", "--watch");
    await running.said(/waiting for again\.js to change/);
    file("again.js", "function main( { broken\n");
    await running.said(/developer error/);
    file("again.js", "function main() { return { round: 3 } }\n");
    await running.said(/success[^]*success/);
    running.child.kill("SIGINT");
    expect(await running.code).toBe(130);
    expect(running.stdout()).toMatch(/"round": 1[^]*SyntaxError[^]*"round": 3/);
  });

  it("is stopped by Ctrl-C and leaves nothing behind", async () => {
    file("forever.js", 'function main() { console.log("begun"); return new Promise(() => {}); }\n');
    const running = started("forever.js");
    await running.said(/stdout: begun/);
    running.child.kill("SIGINT");
    expect(await running.code).toBe(130);
    expect(readdirSync(dir).filter((name) => name.startsWith("weft-"))).toEqual([]);
  });
});

describe("weft action invoke --local of what is deployed", () => {
  let open: OpenFabric;

  beforeAll(async () => {
    open = await openFabric({ mode: "dev" });
  });
  afterAll(() => open.close());

  it("runs it with its own and its package's parameters, its limits and its key", async () => {
    const { fabric } = open;
    file(
      "told.js",
      "function main(p) { return { ...p, key: process.env.__OW_API_KEY, at: process.env.__OW_NAMESPACE } }\n",
    );
    await fabric.ok("package", "create", "kit", "-p", "place", "Oslo", "-p", "name", "nobody");
    await fabric.ok(
      "action",
      "create",
      "kit/told",
      join(dir, "told.js"),
      "-p",
      "name",
      "Ada",
      "-a",
      "provide-api-key",
      "true",
    );
    const ran = await fabric.weft("action", "invoke", "--local", "kit/told", "-p", "more", "1");
    expect(JSON.parse(ran.stdout)).toEqual({ place: "Oslo", name: "Ada", more: 1, key: fabric.auth, at: "guest" });
    expect(ran.stderr).toContain("/guest/kit/told version 0.0.1 runs on nodejs:20");
    await fabric.ok("package", "bind", "/guest/kit", "mine", "-p", "place", "Rome");
    expect(JSON.parse(await fabric.ok("action", "invoke", "--local", "mine/told"))).toMatchObject({ place: "Rome" });
  });

  it("is what a failed activation says to do", async () => {
    const { fabric } = open;
    await fabric.ok("action", "create", "boom", join(dir, "boom.js"));
    const id = (await fabric.ok("action", "invoke", "boom")).trim();
    const shown = await eventually(() => fabric.ok("activation", "get", id), { withinMs: 20_000, everyMs: 200 });
    const [, command = ""] = /reproduce\s+weft (.+)/.exec(shown) ?? [];
    expect(command).toContain("action invoke --local /guest/boom");
    const again = await fabric.weft("action", "invoke", "--local", "/guest/boom");
    expect(again).toMatchObject({ code: 1, stdout: expect.stringContaining("boom") as string });
    const sequence = await fabric.weft("action", "create", "both", "--sequence", "boom,boom");
    expect(sequence.code).toBe(0);
    expect((await fabric.weft("action", "invoke", "--local", "both")).stderr).toContain("/guest/both is a sequence");
    expect((await fabric.weft("action", "invoke", "--local", "bom")).stderr).toContain("did you mean boom?");
  });
});

describeWith(["docker"], "weft action invoke --local --docker", () => {
  it("runs it in its kind's image", async () => {
    const host = requireService("docker");
    const ran = await local("hello.js", "-p", "name", "Bob", "--docker", "--docker-host", host);
    expect(ran).toMatchObject({ code: 0, stderr: expect.stringContaining("in its image") as string });
  });
});
