// The serving end of a bidi rpc as a MessageStream, straight on a stream of the connection.

import { WeftError } from "../base/errors.js";
import { answerBlock, failureFields, refuse, SUCCESS } from "./grpc-answer.js";
import { MessageReader, messagePrefix, UnreadableMessage } from "./grpc-messages.js";
import { encodeHeaders } from "./http2/hpack.js";
import type { ServedStream, StreamUser } from "./http2/served-stream.js";
import { MESSAGE_BYTES_MAX, type MessageStream } from "./link.js";

/** A message up to this size is copied behind its prefix: that costs less than writing twice. */
const COPIED_BYTES_MAX = 16 * 1024;

export function servedMessageStream(stream: ServedStream): {
  readonly messages: MessageStream;
  readonly user: StreamUser;
} {
  const reader = new MessageReader(MESSAGE_BYTES_MAX);
  let answered = false;
  let over = false;

  const answer = (): void => {
    if (!answered) stream.sendHeaders(answerBlock());
    answered = true;
  };
  const end = (why?: WeftError | UnreadableMessage): void => {
    if (!why) {
      answer();
      stream.end(SUCCESS);
      return;
    }
    const fields = failureFields(why);
    if (answered) stream.end(encodeHeaders(fields));
    else refuse(stream, fields);
  };
  const finish = (why: WeftError | undefined): void => {
    if (over) return;
    over = true;
    messages.onEnd(why);
  };

  const messages: MessageStream = {
    onMessage: () => {},
    onDrain: () => {},
    onEnd: () => {},
    onFinished: () => false,
    write(message) {
      if (over) return false;
      answer();
      const prefix = messagePrefix(message.length);
      if (message.length <= COPIED_BYTES_MAX) return stream.send(Buffer.concat([prefix, message]));
      stream.send(prefix);
      return stream.send(message);
    },
    finish: () => end(),
    end(why) {
      over = true;
      end(why);
    },
  };
  const onMessage = (message: Buffer): boolean => {
    messages.onMessage(message);
    return !over;
  };
  const user: StreamUser = {
    onData(bytes) {
      if (over) return;
      try {
        reader.read(bytes, onMessage);
      } catch (thrown) {
        if (!(thrown instanceof UnreadableMessage)) throw thrown;
        end(thrown);
        finish(new WeftError("invalidArgument", "MALFORMED_MESSAGE", thrown.message));
      }
    },
    onEnd() {
      if (!over && messages.onFinished()) return;
      finish(undefined);
      end();
    },
    onLost: () => finish(new WeftError("unavailable", "LINK_LOST", "the peer went away")),
    onDrain() {
      if (!over) messages.onDrain();
    },
  };
  return { messages, user };
}
