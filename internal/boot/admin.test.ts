import { afterEach, describe, expect, it } from "vitest";

import { eventually } from "../../test/harness/eventually.js";
import { WeftError } from "../base/errors.js";
import { silentLog } from "../base/log.js";
import { Metrics } from "../base/metrics.js";
import { Admin } from "./admin.js";
import { processMetrics } from "./process-metrics.js";

const open: Admin[] = [];
afterEach(async () => {
  for (const admin of open.splice(0)) await admin.close();
});

async function listening(metrics = new Metrics()): Promise<Admin> {
  const admin = new Admin({ metrics, log: silentLog });
  await admin.listen("127.0.0.1:0");
  open.push(admin);
  return admin;
}

const get = (admin: Admin, path: string, init?: RequestInit): Promise<Response> =>
  fetch(`http://${admin.address}${path}`, init);

describe("the admin listener", () => {
  it("gives the metrics of every role and of the process", async () => {
    const metrics = new Metrics(processMetrics);
    metrics.registry("gateway").counter({ name: "weft_gateway_calls_total", help: "?" }).inc(3);
    const admin = await listening(metrics);
    const response = await get(admin, "/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const body = await response.text();
    expect(body).toContain("weft_gateway_calls_total 3\n");
    expect(body).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
    expect(body).toMatch(/^process_resident_memory_bytes \d/m);
    expect(await (await get(admin, "/metrics")).text()).toContain("process_cpu_seconds_total"); // measured once, read twice
  });

  it("is healthy while it answers", async () => {
    const admin = await listening();
    const response = await get(admin, "/healthz");
    expect([response.status, await response.text()]).toEqual([200, "ok\n"]);
  });

  it("is ready when every part is, and else says which is not and why", async () => {
    const admin = await listening();
    let etcd: true | string = "no leader";
    admin.addReadiness("process", () => true);
    const remove = admin.addReadiness("etcd", () => etcd);
    const unready = await get(admin, "/readyz");
    expect([unready.status, await unready.json()]).toEqual([
      503,
      { ready: false, checks: { process: "ready", etcd: "no leader" } },
    ]);
    etcd = true;
    expect((await get(admin, "/readyz")).status).toBe(200);
    etcd = "gone";
    remove();
    expect((await get(admin, "/readyz")).status).toBe(200);
  });

  it("shows the state of each part, without secrets, and one that fails does not hide the others", async () => {
    const admin = await listening();
    admin.addDebug("sessions", () => Promise.resolve([{ invokerId: "i1", epoch: 3n, leaseToken: "hidden" }]));
    admin.addDebug("broken", () => {
      throw new Error("not now");
    });
    expect(await (await get(admin, "/debug")).json()).toEqual({
      sessions: [{ invokerId: "i1", epoch: "3", leaseToken: "(secret)" }],
      broken: { unreadable: "not now" },
    });
    expect(await (await get(admin, "/debug/sessions")).json()).toEqual([
      { invokerId: "i1", epoch: "3", leaseToken: "(secret)" },
    ]);
  });

  it("says what there is when asked for something else, and changes nothing", async () => {
    const admin = await listening();
    admin.addDebug("queue", () => 1);
    const missing = await get(admin, "/debug/nothing");
    expect([missing.status, await missing.text()]).toEqual([
      404,
      "there are /metrics, /healthz, /readyz, /debug, /debug/queue\n",
    ]);
    expect((await get(admin, "/healthz", { method: "POST" })).status).toBe(405);
    expect(await (await get(admin, "/healthz", { method: "HEAD" })).text()).toBe("");
  });

  it("says what to do when its address is taken or none", async () => {
    const first = await listening();
    const second = new Admin({ metrics: new Metrics(), log: silentLog });
    const error = await second.listen(first.address).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WeftError);
    expect(error).toMatchObject({
      reason: "ADMIN_ADDRESS",
      message: `the admin listener cannot use ${first.address}: EADDRINUSE`,
    });
    await expect(second.listen("nonsense")).rejects.toThrow("is not host:port");
    await expect(second.listen("127.0.0.1:70000")).rejects.toThrow("is not host:port");
  });

  it("does not wait for an answer that never comes when it closes", async () => {
    const admin = await listening();
    let asked = false;
    admin.addDebug("stuck", () => {
      asked = true;
      return new Promise(() => {});
    });
    const hanging = get(admin, "/debug").catch((thrown: unknown) => thrown);
    await eventually(() => asked);
    await admin.close();
    expect(await hanging).toBeInstanceOf(Error);
  });

  it("answers nobody once it is closed, even who is still connected", async () => {
    const admin = await listening();
    const { address } = admin;
    await get(admin, "/healthz"); // leaves a kept-alive connection
    await admin.close();
    await expect(fetch(`http://${address}/healthz`)).rejects.toThrow();
  });
});
