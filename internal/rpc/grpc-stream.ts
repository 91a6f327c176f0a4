// One end of a grpc-js bidi call as a MessageStream: its many ways of ending made into one.

import type { ClientDuplexStream, ServerDuplexStream, ServiceError } from "@grpc/grpc-js";
import { WeftError } from "../base/errors.js";
import type { MessageStream } from "./link.js";
import { fromStatus, toStatus } from "./status.js";

type Call = ServerDuplexStream<Buffer, Buffer> | ClientDuplexStream<Buffer, Buffer>;

export function grpcMessageStream(call: Call): MessageStream {
  let over = false;
  const stream: MessageStream = {
    onMessage: () => {},
    onDrain: () => {},
    onEnd: () => {},
    onFinished: () => false,
    write: (message) => !over && call.write(message),
    finish() {
      call.end();
    },
    end(why) {
      over = true;
      // A client's end is only half an end: nothing more is read either way, so the call is given up after what was
      // written has left.
      if ("cancel" in call) {
        call.end();
        setImmediate(() => call.cancel());
      } else if (why) call.emit("error", toStatus(why));
      else call.end();
    },
  };
  const finish = (why: WeftError | undefined): void => {
    if (over) return;
    over = true;
    stream.onEnd(why);
  };
  call.on("data", (message: Buffer) => {
    if (!over) stream.onMessage(message);
  });
  call.on("drain", () => {
    if (!over) stream.onDrain();
  });
  // A server call says "cancelled", a client call says "error" or "status", either may say "end" or "close".
  call.on("cancelled", () => finish(new WeftError("unavailable", "LINK_LOST", "the peer went away")));
  call.on("error", (error: Error) => finish(fromStatus(error as ServiceError)));
  call.on("end", () => {
    if (!over && stream.onFinished()) return;
    finish(undefined);
    call.end();
  });
  call.on("close", () => finish(new WeftError("unavailable", "LINK_LOST", "the stream is over")));
  return stream;
}
