import { Machine } from "../../base/machine.js";

/** Where a durable request is, as its owner knows it. */
export type RequestState =
  | "waiting" // for its turn, or for a pause after a refusal to end
  | "sending" // handed to the dispatcher, which waits for a slot
  | "composing" // a controller runs it: a built-in action, or a sequence whose components are requests of their own
  | "started" // an invoker was told, or is about to be: the attempt is in the database
  | "unsettled" // it ended, or nobody knows: its record is to come
  | "settled" // its record is stored and the request is gone
  | "given away"; // the database says that it is not ours

export type RequestEvent =
  | "send" // its turn came
  | "mark" // the database holds the attempt
  | "compose" // it turned out to be a built-in action, a sequence or a composition
  | "refuse" // proven not to have started
  | "end" // the dispatcher says that it ended, or that nobody knows
  | "notStarted" // the invoker proves that it never started
  | "record" // a record of its id was stored
  | "lose"; // somebody else settled or took it

// No arrow leads from started or unsettled back to waiting but by proof that user code never began: a request is run at
// most once. A record settles it from anywhere: an invoker's may arrive before the dispatcher hears of the end.
export const requestMachine = new Machine<RequestState, RequestEvent>("request", "waiting", {
  waiting: { send: "sending", record: "settled", lose: "given away" },
  sending: { mark: "started", compose: "composing", refuse: "waiting", record: "settled", lose: "given away" },
  composing: { record: "settled", lose: "given away" },
  // Sent back by one invoker, the dispatcher asks again before it sends to the next.
  started: { mark: "started", refuse: "waiting", end: "unsettled", record: "settled", lose: "given away" },
  unsettled: { notStarted: "waiting", record: "settled" },
  settled: {},
  "given away": {},
});
