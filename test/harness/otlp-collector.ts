// A collector of traces for tests: takes OTLP over HTTP as protobuf and keeps what it is told. Reads the few fields that
// tests ask for; the wire format is opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { BinaryReader } from "@bufbuild/protobuf/wire";

export interface CollectedSpan {
  /** The service.name of the process: "weft-gateway". */
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** "" for the first of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string>>;
}

export class OtlpCollector {
  readonly #spans: CollectedSpan[] = [];

  private constructor(private readonly server: Server) {}

  static async start(): Promise<OtlpCollector> {
    const server = createServer();
    const collector = new OtlpCollector(server);
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.once("end", () => {
        const fits = request.url === "/v1/traces" && request.headers["content-type"] === "application/x-protobuf";
        if (fits) collector.#spans.push(...spansIn(Buffer.concat(chunks)));
        response.writeHead(fits ? 200 : 400, { "content-type": "application/x-protobuf" }).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return collector;
  }

  /** Its base URL. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** What came of a trace, earliest start first. */
  of(traceId: string): readonly CollectedSpan[] {
    return this.#spans
      .filter((span) => span.traceId === traceId)
      .sort((a, b) => (a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0));
  }

  get all(): readonly CollectedSpan[] {
    return this.#spans;
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => {
      this.server.close(() => resolve());
    });
  }
}

type Fields = (field: number, reader: BinaryReader) => boolean;

/** Reads a message: `take` consumes the fields it knows. */
function read(bytes: Uint8Array, take: Fields): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (!take(field, reader)) reader.skip(wire, field);
  }
}

function spansIn(request: Uint8Array): CollectedSpan[] {
  const spans: CollectedSpan[] = [];
  read(request, (field, reader) => field === 1 && resourceSpans(reader.bytes(), spans));
  return spans;
}

function resourceSpans(bytes: Uint8Array, spans: CollectedSpan[]): true {
  let resource: Readonly<Record<string, string>> = {};
  const scopes: Uint8Array[] = [];
  read(bytes, (field, reader) => {
    if (field === 1) resource = attributesIn(reader.bytes(), 1);
    else if (field === 2) scopes.push(reader.bytes());
    else return false;
    return true;
  });
  const service = resource["service.name"] ?? "";
  for (const scope of scopes) {
    read(scope, (field, reader) => {
      if (field !== 2) return false;
      spans.push(spanIn(reader.bytes(), service));
      return true;
    });
  }
  return true;
}

function spanIn(bytes: Uint8Array, service: string): CollectedSpan {
  const span = { service, traceId: "", spanId: "", parentSpanId: "", name: "", kind: 0, startNs: 0n, endNs: 0n };
  const hex = (reader: BinaryReader): string => Buffer.from(reader.bytes()).toString("hex");
  read(bytes, (field, reader) => {
    if (field === 1) span.traceId = hex(reader);
    else if (field === 2) span.spanId = hex(reader);
    else if (field === 4) span.parentSpanId = hex(reader);
    else if (field === 5) span.name = reader.string();
    else if (field === 6) span.kind = reader.int32();
    else if (field === 7) span.startNs = BigInt(reader.fixed64());
    else if (field === 8) span.endNs = BigInt(reader.fixed64());
    else return false;
    return true;
  });
  return { ...span, attributes: attributesIn(bytes, 9) };
}

/** KeyValues of a field; values as text. */
function attributesIn(bytes: Uint8Array, at: number): Record<string, string> {
  const attributes: Record<string, string> = {};
  read(bytes, (field, reader) => {
    if (field !== at) return false;
    let key = "";
    let value = "";
    read(reader.bytes(), (part, inner) => {
      if (part === 1) key = inner.string();
      else if (part === 2) value = anyValueIn(inner.bytes());
      else return false;
      return true;
    });
    attributes[key] = value;
    return true;
  });
  return attributes;
}

function anyValueIn(bytes: Uint8Array): string {
  let value = "";
  read(bytes, (field, reader) => {
    if (field === 1) value = reader.string();
    else if (field === 2) value = String(reader.bool());
    else if (field === 3) value = String(reader.int64());
    else if (field === 4) value = String(reader.double());
    else return false;
    return true;
  });
  return value;
}
