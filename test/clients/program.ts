// OpenWhisk's command lines, run as a person does: in a folder and with properties of their own. `test/clients/build` makes
// them.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";

import { run, type Fabric, type Ran } from "../harness/fabric.js";

export class ClientProgram {
  readonly directory = mkdtempSync(join(tmpdir(), "weft-client-"));
  readonly #path: string;

  /** @param variable names the program: WSK or WSKDEPLOY */
  constructor(
    variable: string,
    private readonly fabric: Fabric,
  ) {
    const path = process.env[variable];
    if (path === undefined) throw new Error(`${variable} is not set: test/clients/build DIRECTORY makes the program`);
    this.#path = path;
    this.write(".wskprops", `APIHOST=${fabric.rest}\nAUTH=${fabric.auth}\nNAMESPACE=_\n`);
  }

  /** Puts a file into its folder. @returns its name */
  write(name: string, content: string | Uint8Array): string {
    writeFileSync(join(this.directory, name), content);
    return name;
  }

  run(...args: readonly string[]): Promise<Ran> {
    const env = { PATH: process.env["PATH"], HOME: this.directory, WSK_CONFIG_FILE: join(this.directory, ".wskprops") };
    return run(this.#path, args, env, this.directory);
  }

  /** As `run`, and it must succeed. @returns what it printed */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: expect.any(String) as string });
    return stdout;
  }

  /** As `ok`. @returns the JSON that it printed, after a line that says what it is, or alone */
  async json(...args: readonly string[]): Promise<unknown> {
    const text = await this.ok(...args);
    return JSON.parse(text.replace(/^ok: .*\n/, ""));
  }

  /** It must end with this code. @returns all that it printed */
  async fails(code: number, ...args: readonly string[]): Promise<string> {
    const ran = await this.run(...args);
    const text = ran.stdout + ran.stderr;
    expect({ args, code: ran.code, text }).toEqual({ args, code, text: expect.any(String) as string });
    return text;
  }

  /** A web action or API, as a browser asks for it. */
  async fetch(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const answer = await fetch(path.startsWith("http") ? path : `${this.fabric.rest}${path}`);
    return { status: answer.status, text: await answer.text() };
  }

  close(): void {
    rmSync(this.directory, { recursive: true });
  }
}
