import { createServer, type Server, type Socket } from "node:net";

import { WeftError } from "./errors.js";
import { SocketLink } from "./socket-link.js";

/** Paths of Unix sockets are kept in 104 bytes on some systems and in 108 on others, the final zero included. */
const SOCKET_PATH_BYTES_MAX = 103;

/** The one peer that came, and what it said first. */
export interface Arrival {
  readonly link: SocketLink;
  readonly first: Uint8Array;
}

/**
 * A Unix socket that waits for one peer and its first message. Nobody else is let in: the socket is gone once the first
 * has come, or when it is closed.
 */
export class Rendezvous {
  /** Rejects with `canceled` when it is closed first, `unavailable` when the peer leaves without a word. */
  readonly arrived: Promise<Arrival>;
  #link: SocketLink | undefined;
  #over = false;
  #fail: (error: WeftError) => void = () => {};

  private constructor(private readonly server: Server) {
    this.arrived = new Promise((resolve, reject) => {
      this.#fail = reject;
      server.once("connection", (socket: Socket) => {
        server.close();
        const link = new SocketLink(socket);
        this.#link = link;
        link.onMessage = (first) => {
          link.onMessage = () => {};
          this.#over = true;
          resolve({ link, first });
        };
        void link.closed.then(() => {
          this.#refuse("unavailable", "the peer left without a word");
        });
      });
    });
    // Who closes before anybody waits must not end the process with an unhandled rejection.
    this.arrived.catch(() => {});
  }

  /**
   * @param openToAll lets every user connect who can reach the path; otherwise the process's umask decides
   * @throws failedPrecondition when the path is too long, internal when it cannot be listened on
   */
  static async listen(path: string, openToAll: boolean): Promise<Rendezvous> {
    if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
      throw new WeftError(
        "failedPrecondition",
        "SOCKET_PATH_TOO_LONG",
        `the path of a socket may have ${SOCKET_PATH_BYTES_MAX} bytes: ${path}`,
        { fix: "choose a shorter directory for sandboxes" },
      );
    }
    const server = createServer();
    const rendezvous = new Rendezvous(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, readableAll: openToAll, writableAll: openToAll }, () => {
        server.off("error", reject);
        server.on("error", (error) => {
          rendezvous.#refuse("unavailable", error.message);
        });
        resolve();
      });
    });
    return rendezvous;
  }

  /** Stops waiting, and closes the connection unless the arrival was already handed on. May be repeated. */
  close(): void {
    if (this.#over) return;
    this.server.close();
    this.#link?.close();
    this.#refuse("canceled", "nobody waits any longer");
  }

  #refuse(kind: "canceled" | "unavailable", message: string): void {
    this.#over = true;
    this.#fail(new WeftError(kind, "NO_ARRIVAL", message));
  }
}
