// The bare reference: grpc-js and nothing else. Prints its port and echoes until it is killed.

import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { ECHO_BIDI, ECHO_UNARY } from "./protocol.js";

const identity = (message: Buffer): Buffer => message;
const server = new Server();
server.register(
  ECHO_UNARY,
  (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => callback(null, call.request),
  identity,
  identity,
  "unary",
);
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
