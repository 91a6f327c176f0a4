// A sandbox that could not be made because of what the developer asked for, such as an image that there is not. It answers
// the init of its first call with the reason, so that this is told and recorded like any code that cannot be loaded.

import type { MessageLink } from "../base/socket-link.js";
import type { SandboxExit, SandboxProcess } from "../core/sandbox/driver.js";
import { FromSandbox, ToSandbox } from "../gen/weft/runtime/v1/sandbox.pb.js";

export class RefusingSandbox implements SandboxProcess {
  readonly languageVersion = "";
  readonly exited: Promise<SandboxExit>;
  readonly link: MessageLink;
  onRawOutput = (): void => {};
  #end: () => void = () => {};

  constructor(error: string) {
    const closed = new Promise<void>((resolve) => (this.#end = resolve));
    this.exited = closed.then(() => ({ kind: "exited", code: 1, signal: undefined }));
    const answer = FromSandbox.encode({
      message: { $case: "initResult", value: { ok: false, errorJson: Buffer.from(JSON.stringify({ error })) } },
    }).finish();
    const link: MessageLink = {
      onMessage: () => {},
      closed,
      close: () => {
        this.#end();
      },
      send: (message) => {
        // Whoever sends expects no answer before it has gone on.
        if (ToSandbox.decode(message).message?.$case === "init") queueMicrotask(() => link.onMessage(answer));
        return true;
      },
    };
    this.link = link;
  }

  freeze(): Promise<void> {
    return Promise.resolve();
  }

  unfreeze(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    this.#end();
    return Promise.resolve();
  }
}
