// Sessions over links in memory: what they let through, how they end, and that they end once.

import { describe, expect, it } from "vitest";

import { ManualClock, settle } from "../../test/harness/clock.js";
import type { FleetRequestItem, FleetResponseItem } from "../gen/weft/link/v1/fleet.pb.js";
import type { LeaseRequestItem, LeaseResponseItem } from "../gen/weft/link/v1/lease.pb.js";
import { fleetLink, leaseLink } from "../rpc/link-methods.js";
import type { Link } from "../rpc/link.js";
import { MemoryNetwork } from "../rpc/network.js";
import { FleetSession } from "./fleet-session.js";
import { LeaseSession } from "./lease-session.js";

const hello = { dispatcherId: "g1", bootId: "b1", wireVersion: 1, linkSequence: 1 };
const register = {
  invokerId: "i1",
  bootId: "b1",
  address: "i1:1",
  memoryMb: 1_024,
  kinds: ["nodejs:20"],
  driver: "process",
  zone: "",
  wireVersion: 1,
  caveats: [],
};

function leaseScene() {
  const clock = new ManualClock();
  const network = new MemoryNetwork();
  const seen: string[] = [];
  const heard: string[] = [];
  let session: LeaseSession | undefined;
  network.serve("s1:1", leaseLink, (link) => {
    session = new LeaseSession(link, {
      schedulerId: "s1",
      clock,
      heartbeatMs: 500,
      sessionTtlMs: 4_000,
      hello: () => seen.push("hello"),
      held: () => seen.push("held"),
      capacity: () => seen.push("capacity"),
      returned: () => seen.push("returned"),
      heartbeat: () => seen.push("heartbeat"),
      ended: (_s, outcome) => seen.push(`ended ${outcome.kind}`),
    });
    session.start();
  });
  const link: Link<LeaseResponseItem, LeaseRequestItem> = network.dial("s1:1", leaseLink);
  link.onItem = ({ item }) => heard.push(item?.$case ?? "nothing");
  const say = async (...items: LeaseRequestItem["item"][]): Promise<void> => {
    for (const item of items) link.send({ item });
    await settle();
  };
  return { clock, network, seen, heard, link, say, session: () => session as LeaseSession };
}

function fleetScene() {
  const clock = new ManualClock();
  const network = new MemoryNetwork();
  const seen: string[] = [];
  let session: FleetSession | undefined;
  network.serve("s1:1", fleetLink, (link) => {
    session = new FleetSession(link, {
      schedulerId: "s1",
      clock,
      heartbeatMs: 1_000,
      registered: () => seen.push("registered"),
      inventory: () => seen.push("inventory"),
      capacity: () => seen.push("capacity"),
      sandbox: () => seen.push("sandbox"),
      dispatcherGone: () => seen.push("dispatcherGone"),
      silence: (_s, silent) => seen.push(silent ? "silent" : "speaks"),
      ended: (_s, outcome) => seen.push(`ended ${outcome.kind}`),
    });
    session.start();
  });
  const link: Link<FleetResponseItem, FleetRequestItem> = network.dial("s1:1", fleetLink);
  const say = async (...items: FleetRequestItem["item"][]): Promise<void> => {
    for (const item of items) link.send({ item });
    await settle();
  };
  return { clock, seen, link, say, session: () => session as FleetSession };
}

describe("a dispatcher's session", () => {
  it("welcomes, and grants nothing before it knows what is held", async () => {
    const { say, seen, heard, session } = leaseScene();
    await say({ $case: "hello", value: hello });
    expect(session().send({ $case: "grant", value: { leases: [] } })).toBe(false);
    await say({ $case: "held", value: { leases: [] } }, { $case: "heartbeat", value: { demands: [] } });
    expect(session().send({ $case: "grant", value: { leases: [] } })).toBe(true);
    await settle();
    expect([seen, heard]).toEqual([
      ["hello", "held", "heartbeat"],
      ["welcome", "grant"],
    ]);
  });

  it.each<[string, LeaseRequestItem["item"][]]>([
    ["a wish before the hello", [{ $case: "returned", value: { leases: [], reason: 1 } }]],
    [
      "a second hello",
      [
        { $case: "hello", value: hello },
        { $case: "hello", value: hello },
      ],
    ],
    ["another wire version", [{ $case: "hello", value: { ...hello, wireVersion: 2 } }]],
    ["a hello without a boot id", [{ $case: "hello", value: { ...hello, bootId: "" } }]],
    ["what is held before the hello", [{ $case: "held", value: { leases: [] } }]],
  ])("ends on %s", async (_name, items) => {
    const { say, seen, link } = leaseScene();
    await say(...items);
    await settle();
    expect(seen.filter((one) => one.startsWith("ended"))).toEqual(["ended protocolError"]);
    expect(link.open).toBe(false);
  });

  it("ends once when the link breaks, and handles nothing after it", async () => {
    const { say, seen, network, session } = leaseScene();
    await say({ $case: "hello", value: hello }, { $case: "held", value: { leases: [] } });
    network.breakLinks("s1:1");
    session().end({ kind: "stopped" });
    await say({ $case: "heartbeat", value: { demands: [] } });
    expect(seen).toEqual(["hello", "held", "ended closed"]);
  });

  it("ends when nothing is said for a whole TTL", async () => {
    const { say, seen, clock, session } = leaseScene();
    await say({ $case: "hello", value: hello }, { $case: "held", value: { leases: [] } });
    clock.advance(3_999);
    session().check(clock.monoMs());
    await say({ $case: "heartbeat", value: { demands: [] } });
    clock.advance(3_999);
    session().check(clock.monoMs());
    expect(seen).not.toContain("ended silent");
    clock.advance(1);
    session().check(clock.monoMs());
    expect(seen).toContain("ended silent");
  });
});

describe("an invoker's session", () => {
  const create = { order: 1, shard: 1, epoch: 1, action: undefined };

  it("orders nothing before the inventory has come", async () => {
    const { say, session } = fleetScene();
    await say({ $case: "register", value: register });
    expect(session().order({ $case: "create", value: create })).toBe(false);
    await say({ $case: "inventory", value: { sandboxes: [], highestEpoch: 0 } });
    expect(session().order({ $case: "create", value: create })).toBe(true);
  });

  it("tells of silence after three missed heartbeats, and that it is over, without ending the link", async () => {
    const { say, seen, clock, session, link } = fleetScene();
    await say(
      { $case: "register", value: register },
      { $case: "inventory", value: { sandboxes: [], highestEpoch: 0 } },
    );
    clock.advance(2_999);
    session().check(clock.monoMs());
    expect(session().silent).toBe(false);
    clock.advance(1);
    session().check(clock.monoMs());
    session().check(clock.monoMs());
    await say({ $case: "heartbeat", value: {} });
    expect(seen).toEqual(["registered", "inventory", "silent", "speaks"]);
    expect(link.open).toBe(true);
  });

  it.each<[string, FleetRequestItem["item"][]]>([
    ["an inventory before the registration", [{ $case: "inventory", value: { sandboxes: [], highestEpoch: 0 } }]],
    [
      "a second registration",
      [
        { $case: "register", value: register },
        { $case: "register", value: register },
      ],
    ],
    ["another wire version", [{ $case: "register", value: { ...register, wireVersion: 7 } }]],
    [
      "a sandbox before the inventory",
      [
        { $case: "register", value: register },
        { $case: "sandbox", value: { order: 0, view: undefined, end: 0, message: "", phases: undefined } },
      ],
    ],
  ])("ends on %s", async (_name, items) => {
    const { say, seen } = fleetScene();
    await say(...items);
    await settle();
    expect(seen.filter((one) => one.startsWith("ended"))).toEqual(["ended protocolError"]);
  });

  it("ends when nobody says who it is", () => {
    const { seen, clock, session } = fleetScene();
    clock.advance(3_000);
    session().check(clock.monoMs());
    expect(seen).toEqual(["ended silent"]);
  });
});
