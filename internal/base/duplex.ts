/**
 * Two streams of messages, one each way. Whatever ends it (either side, the network, a process that dies) the messages
 * stop and iteration ends without throwing. Messages keep their order. Iterate at most once.
 */
export interface Duplex<In, Out> extends AsyncIterable<In> {
  /**
   * Resolves when the message is accepted and more may follow.
   * @throws unavailable after the end
   */
  send(message: Out): Promise<void>;
  /** Ends both directions. May be repeated. */
  end(): void;
}
