// The bare reference: grpc-js and nothing else. Tells its port and echoes until it is killed. Behind an Envoy it stands in
// a gateway's place: it is healthy, and answers Invoke with what it was told to.

import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { ECHO_BIDI, ECHO_UNARY, INVOKE, type EchoAnswer } from "./protocol.js";

const identity = (message: Buffer): Buffer => message;
const server = new Server();
server.register(
  ECHO_UNARY,
  (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => callback(null, call.request),
  identity,
  identity,
  "unary",
);
let invokeResponse = Buffer.alloc(0);
process.on("message", ({ invokeResponseBase64 }: EchoAnswer) => {
  invokeResponse = Buffer.from(invokeResponseBase64, "base64");
  process.send?.({ told: true });
});
const SERVING = Buffer.from([0x08, 0x01]);
for (const [path, answer] of [
  [INVOKE, () => invokeResponse],
  ["/grpc.health.v1.Health/Check", () => SERVING],
] as const) {
  server.register(
    path,
    (_call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => callback(null, answer()),
    identity,
    identity,
    "unary",
  );
}
server.register(
  ECHO_BIDI,
  (call: ServerDuplexStream<Buffer, Buffer>) => {
    call.on("data", (message: Buffer) => call.write(message));
    call.on("end", () => call.end());
    call.on("error", () => call.end());
  },
  identity,
  identity,
  "bidi",
);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ port });
});
process.on("disconnect", () => process.exit(0));
