import { describe, expect, it } from "vitest";

import { Scope } from "./scope.js";

describe("a scope", () => {
  it("closes the last opened first, waiting for each", async () => {
    const scope = new Scope();
    const closed: string[] = [];
    const close = async (name: string): Promise<void> => {
      await Promise.resolve();
      closed.push(name);
    };
    expect(scope.use("pool", "pool", close)).toBe("pool");
    scope.use("server", "server", close);
    expect(scope.open).toEqual(["server", "pool"]);
    expect(await scope.close()).toEqual([]);
    expect(closed).toEqual(["server", "pool"]);
    expect(scope.open).toEqual([]);
  });

  it("closes the rest when one does not close, and tells of it", async () => {
    const scope = new Scope();
    let closed = false;
    scope.use("pool", 1, () => (closed = true));
    scope.use("server", 2, () => {
      throw new Error("port stuck");
    });
    expect(await scope.close()).toMatchObject([{ kind: "internal", message: "port stuck" }]);
    expect(closed).toBe(true);
  });

  it("names what it is closing, for whoever waits in vain", async () => {
    const scope = new Scope();
    let free = (): void => {};
    scope.use("pool", 1, () => {});
    scope.use("stuck", 2, () => new Promise<void>((resolve) => (free = resolve)));
    const closing = scope.close();
    expect(scope.open).toEqual(["stuck", "pool"]);
    free();
    await closing;
    expect(scope.open).toEqual([]);
  });

  it("closes each thing once however often it is asked", async () => {
    const scope = new Scope();
    let times = 0;
    scope.use("pool", 1, () => (times += 1));
    await Promise.all([scope.close(), scope.close()]);
    await scope.close();
    expect(times).toBe(1);
  });

  it("closes what is opened while it closes", async () => {
    const scope = new Scope();
    const closed: string[] = [];
    scope.use("pool", 1, () => closed.push("pool"));
    scope.use("server", 2, () => {
      closed.push("server");
      scope.use("late", 3, () => closed.push("late"));
    });
    await scope.close();
    expect(closed.sort()).toEqual(["late", "pool", "server"]);
    expect(scope.open).toEqual([]);
  });
});
