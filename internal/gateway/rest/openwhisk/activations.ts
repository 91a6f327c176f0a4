// /namespaces/{ns}/activations

import { parseActivationId } from "../../../base/ids.js";
import {
  ActivationServiceService as Activations,
  GetActivationRequest,
  ListActivationsRequest,
} from "../../../gen/weft/activation/v1/activation.pb.js";
import { jsonResponse, type RestResponse } from "../message.js";
import { viewOfRecord, writeRecord, writeRecordSummary, writeResponse, type RecordView } from "./activation-record.js";
import type { OpenWhiskCall } from "./call.js";
import { timestamp } from "./entity.js";
import { listOf } from "./lists.js";
import { checkDocsAndCount, type Query } from "./query.js";
import { malformedQuery } from "./refusal.js";

export function listActivations(call: OpenWhiskCall): Promise<RestResponse> {
  const docs = call.query.boolean("docs", false);
  checkDocsAndCount(docs, call.query.boolean("count", false));
  const name = readName(call.query);
  const since = call.query.epochMs("since");
  const upto = call.query.epochMs("upto");
  return listOf(
    call,
    "activations",
    Activations.listActivations,
    (page) =>
      ListActivationsRequest.fromPartial({
        ...page,
        name,
        full: docs,
        ...(since === undefined ? {} : { since: timestamp(since) }),
        ...(upto === undefined ? {} : { upto: timestamp(upto) }),
      }),
    (response) => response.activations.map(viewOfRecord).map(docs ? writeRecord : writeRecordSummary),
  );
}

export async function getActivation(call: OpenWhiskCall): Promise<RestResponse> {
  return jsonResponse(200, writeRecord(await read(call)));
}

export async function getActivationResult(call: OpenWhiskCall): Promise<RestResponse> {
  return jsonResponse(200, writeResponse(await read(call)));
}

export async function getActivationLogs(call: OpenWhiskCall): Promise<RestResponse> {
  return jsonResponse(200, `{"logs":${JSON.stringify((await read(call)).logs)}}`);
}

async function read(call: OpenWhiskCall): Promise<RecordView> {
  const namespace = call.namespace();
  const activationId = parseActivationId(call.segment("id"));
  const request = GetActivationRequest.fromPartial({ namespace, activationId });
  return viewOfRecord(await call.native(Activations.getActivation, request, namespace));
}

/** "action" or "package/action"; "" for all. */
function readName(query: Query): string {
  const name = query.text("name") ?? "";
  if (name.split("/").length > 2) {
    throw malformedQuery("name", `Parameter may be a 'simple' name or 'package-name/simple' name: ${name}`);
  }
  return name;
}
