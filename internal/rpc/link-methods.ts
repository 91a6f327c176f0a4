// The links of the fabric.

import { FleetRequestItem, FleetResponseItem } from "../gen/weft/link/v1/fleet.pb.js";
import { LeaseRequestItem, LeaseResponseItem } from "../gen/weft/link/v1/lease.pb.js";
import { WorkRequestItem, WorkResponseItem } from "../gen/weft/link/v1/work.pb.js";
import { RecordAck, type RecordBatch } from "../gen/weft/link/v1/control.pb.js";
import { StreamInvoke, StreamResult } from "../gen/weft/invoke/v1/invoke.pb.js";
import type { LinkMethod } from "./link.js";
import { recordBatchCodec } from "./record-batch.js";

/** Dispatcher to invoker. */
export const workLink: LinkMethod<WorkRequestItem, WorkResponseItem> = {
  path: "/weft.link.v1.WorkService/Link",
  up: WorkRequestItem,
  down: WorkResponseItem,
  framed: true,
};

/** Dispatcher to scheduler. */
export const leaseLink: LinkMethod<LeaseRequestItem, LeaseResponseItem> = {
  path: "/weft.link.v1.LeaseService/Link",
  up: LeaseRequestItem,
  down: LeaseResponseItem,
  framed: true,
};

/** Invoker to scheduler. */
export const fleetLink: LinkMethod<FleetRequestItem, FleetResponseItem> = {
  path: "/weft.link.v1.FleetService/Link",
  up: FleetRequestItem,
  down: FleetResponseItem,
  framed: true,
};

/** Invoker to controller. Its messages are batches already. */
export const recordLink: LinkMethod<RecordBatch, RecordAck> = {
  path: "/weft.link.v1.RecordService/Link",
  up: recordBatchCodec,
  down: RecordAck,
  framed: false,
};

/** Client to gateway. */
export const invokeStreamLink: LinkMethod<StreamInvoke, StreamResult> = {
  path: "/weft.invoke.v1.InvokeService/InvokeStream",
  up: StreamInvoke,
  down: StreamResult,
  framed: true,
};
