import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { frameOf } from "./frame.js";
import { Rendezvous } from "./rendezvous.js";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "weft-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

describe("a rendezvous", () => {
  it("hands on the first peer with its first message, and lets nobody else in", async () => {
    const path = join(directory, "s");
    const rendezvous = await Rendezvous.listen(path, false);
    const peer = connect(path);
    peer.write(frameOf(Buffer.from("hello")));
    const { link, first } = await rendezvous.arrived;
    expect(Buffer.from(first).toString()).toBe("hello");
    await eventually(() => !existsSync(path));

    const heard: string[] = [];
    link.onMessage = (message) => heard.push(Buffer.from(message).toString());
    peer.write(frameOf(Buffer.from("more")));
    await eventually(() => heard.length === 1);
    rendezvous.close(); // no longer its link
    expect(link.send(Buffer.from("back"))).toBe(true);
    link.close();
  });

  it("fails when the peer leaves without a word", async () => {
    const path = join(directory, "s");
    const rendezvous = await Rendezvous.listen(path, false);
    connect(path).end();
    await expect(rendezvous.arrived).rejects.toThrow("left without a word");
  });

  it("fails when it is closed first, and leaves no socket", async () => {
    const path = join(directory, "s");
    const rendezvous = await Rendezvous.listen(path, true);
    rendezvous.close();
    rendezvous.close();
    await expect(rendezvous.arrived).rejects.toMatchObject({ kind: "canceled" });
    await eventually(() => !existsSync(path));
  });

  it("refuses a path that is too long for a socket, with a fix", async () => {
    await expect(Rendezvous.listen(join(directory, "x".repeat(100)), false)).rejects.toMatchObject({
      reason: "SOCKET_PATH_TOO_LONG",
      fix: "choose a shorter directory for sandboxes",
    });
  });
});
