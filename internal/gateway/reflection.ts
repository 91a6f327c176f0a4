// gRPC reflection, v1 and v1alpha (the same messages under two names), over the descriptor set that buf built. Only what
// the public services need is shown. The ready-made package rebuilds descriptors and loses their dependencies.

import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import type { ItemCodec, LinkMethod } from "../rpc/link.js";
import type { RpcServer } from "../rpc/server.js";

/** Links between roles, runtimes and the tunnel for Envoy are nobody's business. */
const PRIVATE = /^weft\.(link|runtime|rest)\./;
/** No rpc names it, but every error carries what is in it: clients look it up to show details. */
const ERROR_DETAILS = "google/rpc/error_details.proto";
/** From google.rpc.Code. */
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

interface File {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly dependencies: readonly string[];
  /** Full names of messages, enums, services and methods. */
  readonly symbols: readonly string[];
  readonly services: readonly string[];
  readonly extensions: readonly { readonly of: string; readonly number: number }[];
}

/** Answers about a descriptor set. */
export class Reflection {
  readonly services: readonly string[];
  readonly #files = new Map<string, File>();
  readonly #bySymbol = new Map<string, File>();

  /** @param descriptorSet a serialised google.protobuf.FileDescriptorSet */
  constructor(descriptorSet: Uint8Array) {
    const all = new Map<string, File>();
    eachField(descriptorSet, (field, reader) => {
      if (field !== 1) return false;
      const file = parseFile(reader.bytes());
      all.set(file.name, file);
      return true;
    });
    const services: string[] = [];
    const show = (file: File | undefined): void => {
      if (!file || this.#files.has(file.name)) return;
      this.#files.set(file.name, file);
      for (const symbol of file.symbols) this.#bySymbol.set(symbol, file);
      for (const name of file.dependencies) show(all.get(name));
    };
    for (const file of all.values()) {
      const shown = file.services.filter((service) => !PRIVATE.test(service));
      services.push(...shown);
      if (shown.length > 0) show(file);
    }
    show(all.get(ERROR_DETAILS));
    this.services = services.sort();
  }

  /** The serialised file and all that it needs, dependencies after those that name them. */
  fileOf(symbolOrName: string): readonly Uint8Array[] | undefined {
    const first = this.#bySymbol.get(symbolOrName) ?? this.#files.get(symbolOrName);
    if (!first) return undefined;
    const seen = new Set<File>([first]);
    for (const file of seen) {
      for (const name of file.dependencies) {
        const dependency = this.#files.get(name);
        if (dependency) seen.add(dependency);
      }
    }
    return [...seen].map((file) => file.bytes);
  }

  extensionsOf(type: string): readonly { readonly number: number; readonly file: string }[] {
    return [...this.#files.values()].flatMap((file) =>
      file.extensions.filter((e) => e.of === type).map((e) => ({ number: e.number, file: file.name })),
    );
  }

  answer(request: ReflectionRequest): ReflectionResponse {
    return { request, answer: this.#answer(request.ask) };
  }

  #answer(ask: Ask): Answer {
    switch (ask.kind) {
      case "fileByName":
        return this.#found(this.#files.has(ask.text) ? this.fileOf(ask.text) : undefined, `file ${ask.text}`);
      case "fileBySymbol":
        return this.#found(this.#bySymbol.has(ask.text) ? this.fileOf(ask.text) : undefined, `symbol ${ask.text}`);
      case "fileByExtension": {
        const extension = this.extensionsOf(ask.text).find((e) => e.number === ask.number);
        return this.#found(extension && this.fileOf(extension.file), `extension ${ask.number} of ${ask.text}`);
      }
      case "extensionNumbers":
        if (!this.#bySymbol.has(ask.text)) return failure(NOT_FOUND, `there is no type ${ask.text}`);
        return { kind: "numbers", of: ask.text, numbers: this.extensionsOf(ask.text).map((e) => e.number) };
      case "services":
        return { kind: "services", services: this.services };
      case "unknown":
        return failure(UNIMPLEMENTED, "the request asks nothing that this server knows");
    }
  }

  #found(files: readonly Uint8Array[] | undefined, what: string): Answer {
    return files ? { kind: "files", files } : failure(NOT_FOUND, `there is no ${what}`);
  }
}

type Ask =
  | { readonly kind: "fileByName" | "fileBySymbol" | "extensionNumbers" | "services"; readonly text: string }
  | { readonly kind: "fileByExtension"; readonly text: string; readonly number: number }
  | { readonly kind: "unknown" };

interface ReflectionRequest {
  readonly host: string;
  readonly ask: Ask;
}

type Answer =
  | { readonly kind: "files"; readonly files: readonly Uint8Array[] }
  | { readonly kind: "numbers"; readonly of: string; readonly numbers: readonly number[] }
  | { readonly kind: "services"; readonly services: readonly string[] }
  | { readonly kind: "failure"; readonly code: number; readonly message: string };

interface ReflectionResponse {
  readonly request: ReflectionRequest;
  readonly answer: Answer;
}

function failure(code: number, message: string): Answer {
  return { kind: "failure", code, message };
}

/** Serves both versions. Needs no key: what it tells is in the documentation. */
export function serveReflection(server: RpcServer, reflection: Reflection): void {
  for (const version of ["v1", "v1alpha"]) {
    const method: LinkMethod<ReflectionRequest, ReflectionResponse> = {
      path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      up: requestCodec,
      down: responseCodec,
      framed: false,
    };
    server.serveLink(method, (link) => {
      link.onItem = (request) => link.send(reflection.answer(request));
      link.onFinished = () => {
        link.close();
      };
    });
  }
}

// grpc/reflection/v1/reflection.proto; v1alpha has the same messages.

const TEXT_FIELDS = { fileByName: 3, fileBySymbol: 4, extensionNumbers: 6, services: 7 } as const;
const EXTENSION_FIELD = 5;

const requestCodec: ItemCodec<ReflectionRequest> = {
  encode({ host, ask }, writer) {
    writer.tag(1, WireType.LengthDelimited).string(host);
    if (ask.kind === "unknown") return;
    if (ask.kind === "fileByExtension") {
      writer.tag(EXTENSION_FIELD, WireType.LengthDelimited).fork();
      writer.tag(1, WireType.LengthDelimited).string(ask.text).tag(2, WireType.Varint).int32(ask.number);
      writer.join();
    } else writer.tag(TEXT_FIELDS[ask.kind], WireType.LengthDelimited).string(ask.text);
  },
  decode(reader, length) {
    let host = "";
    let ask: Ask = { kind: "unknown" };
    const end = reader.pos + length;
    while (reader.pos < end) {
      const [field, type] = reader.tag();
      const kind = (Object.keys(TEXT_FIELDS) as (keyof typeof TEXT_FIELDS)[]).find((k) => TEXT_FIELDS[k] === field);
      if (field === 1) host = reader.string();
      else if (kind) ask = { kind, text: reader.string() };
      else if (field === EXTENSION_FIELD) ask = { kind: "fileByExtension", ...parseExtensionRequest(reader.bytes()) };
      else reader.skip(type);
    }
    return { host, ask };
  },
};

const responseCodec: ItemCodec<ReflectionResponse> = {
  encode({ request, answer }, writer) {
    writer.tag(1, WireType.LengthDelimited).string(request.host);
    writer.tag(2, WireType.LengthDelimited).fork();
    requestCodec.encode(request, writer);
    writer.join();
    switch (answer.kind) {
      case "files":
        writer.tag(4, WireType.LengthDelimited).fork();
        for (const file of answer.files) writer.tag(1, WireType.LengthDelimited).bytes(file);
        break;
      case "numbers":
        writer.tag(5, WireType.LengthDelimited).fork();
        writer.tag(1, WireType.LengthDelimited).string(answer.of);
        for (const number of answer.numbers) writer.tag(2, WireType.Varint).int32(number);
        break;
      case "services":
        writer.tag(6, WireType.LengthDelimited).fork();
        for (const service of answer.services) {
          writer.tag(1, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(service).join();
        }
        break;
      case "failure":
        writer.tag(7, WireType.LengthDelimited).fork();
        writer.tag(1, WireType.Varint).int32(answer.code).tag(2, WireType.LengthDelimited).string(answer.message);
        break;
    }
    writer.join();
  },
  decode() {
    throw new TypeError("a server does not read what it answers");
  },
};

/** Calls `field` for each field of a message; what it does not read is skipped. */
function eachField(bytes: Uint8Array, field: (number: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (!field(number, reader)) reader.skip(type);
  }
}

// google/protobuf/descriptor.proto, as far as names go.

function parseFile(bytes: Uint8Array): File {
  let name = "";
  let pkg = "";
  const dependencies: string[] = [];
  const messages: Uint8Array[] = [];
  const enums: Uint8Array[] = [];
  const services: Uint8Array[] = [];
  const extensions: { of: string; number: number }[] = [];
  eachField(bytes, (field, reader) => {
    switch (field) {
      case 1:
        name = reader.string();
        return true;
      case 2:
        pkg = reader.string();
        return true;
      case 3:
        dependencies.push(reader.string());
        return true;
      case 4:
        messages.push(reader.bytes());
        return true;
      case 5:
        enums.push(reader.bytes());
        return true;
      case 6:
        services.push(reader.bytes());
        return true;
      case 7:
        extensions.push(parseExtension(reader.bytes()));
        return true;
      default:
        return false;
    }
  });
  const prefix = pkg === "" ? "" : `${pkg}.`;
  const symbols: string[] = [];
  for (const message of messages) addMessage(symbols, prefix, message);
  for (const one of enums) symbols.push(prefix + nameIn(one));
  const serviceNames = services.map((service) => prefix + nameIn(service));
  services.forEach((service, i) => {
    const serviceName = serviceNames[i] ?? "";
    symbols.push(serviceName);
    eachField(service, (field, reader) => {
      if (field !== 2) return false;
      symbols.push(`${serviceName}.${nameIn(reader.bytes())}`);
      return true;
    });
  });
  return { name, bytes, dependencies, symbols, services: serviceNames, extensions };
}

function addMessage(symbols: string[], prefix: string, message: Uint8Array): void {
  const name = prefix + nameIn(message);
  symbols.push(name);
  eachField(message, (field, reader) => {
    if (field === 3) addMessage(symbols, `${name}.`, reader.bytes());
    else if (field === 4) symbols.push(`${name}.${nameIn(reader.bytes())}`);
    else return false;
    return true;
  });
}

function parseExtension(bytes: Uint8Array): { of: string; number: number } {
  let of = "";
  let number = 0;
  eachField(bytes, (field, reader) => {
    if (field === 2) of = reader.string().replace(/^\./, "");
    else if (field === 3) number = reader.int32();
    else return false;
    return true;
  });
  return { of, number };
}

function parseExtensionRequest(bytes: Uint8Array): { text: string; number: number } {
  let text = "";
  let number = 0;
  eachField(bytes, (field, reader) => {
    if (field === 1) text = reader.string();
    else if (field === 2) number = reader.int32();
    else return false;
    return true;
  });
  return { text, number };
}

/** Field 1 of every descriptor is its name. */
function nameIn(bytes: Uint8Array): string {
  let name = "";
  eachField(bytes, (field, reader) => {
    if (field !== 1) return false;
    name = reader.string();
    return true;
  });
  return name;
}
