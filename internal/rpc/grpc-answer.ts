// How a call that is served without grpc-js is answered: the header blocks of gRPC over HTTP/2.

import { UnreadableMessage } from "./grpc-messages.js";
import { encodeHeaders, type HeaderField } from "./http2/hpack.js";
import type { ServedStream } from "./http2/served-stream.js";
import { toStatus } from "./status.js";

export type Field = Pick<HeaderField, "name" | "value">;

const ANSWER_FIELDS: readonly Field[] = [
  { name: ":status", value: "200" },
  { name: "content-type", value: "application/grpc" },
];
const ANSWER = encodeHeaders(ANSWER_FIELDS);
/** The trailers of a call that succeeded. */
export const SUCCESS = encodeHeaders([{ name: "grpc-status", value: "0" }]);

/** What an answer begins with. @param more what the handler adds */
export function answerBlock(more?: readonly Field[]): Buffer {
  return more ? encodeHeaders([...ANSWER_FIELDS, ...more]) : ANSWER;
}

/** How a call ends that failed: what was thrown, or a status of gRPC itself. */
export function failureFields(thrown: unknown): readonly Field[] {
  if (thrown instanceof UnreadableMessage) return statusFields(thrown.code, thrown.message);
  const { code, details, metadata } = toStatus(thrown);
  const fields: Field[] = [];
  for (const [name, values] of Object.entries(metadata.toHttp2Headers())) {
    for (const value of [values ?? []].flat()) fields.push({ name, value: String(value) });
  }
  return [...fields, ...statusFields(code, encodeURI(details))];
}

/** @param text as it is sent: percent-encoded where it is not plain ASCII */
export function statusFields(code: number, text: string): readonly Field[] {
  return [
    { name: "grpc-status", value: String(code) },
    { name: "grpc-message", value: text },
  ];
}

/** Ends a call that nothing was sent of yet. */
export function refuse(stream: ServedStream, fields: readonly Field[]): void {
  stream.sendHeaders(encodeHeaders([...ANSWER_FIELDS, ...fields]), true);
}

/** The first of a name. */
export function headerOf(fields: readonly HeaderField[], name: string): string | undefined {
  for (const field of fields) if (field.name === name) return field.value;
  return undefined;
}
