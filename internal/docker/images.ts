// The images of blackbox actions: whether one is here, fetching it, and what it says of itself.
//
// An image whose name may come to mean another one (no tag, or "latest") is fetched again before it is used, at most once
// per PULL_AGAIN_MS; others are fetched when they are not here. What an image does wrong is its developer's: an ImageRefused.

import type Docker from "dockerode";

import type { Clock } from "../base/clock.js";
import type { Log } from "../base/log.js";
import { mayChange } from "../core/action/image.js";

/** How long fetching may take, and how much of it, packed, is fetched. */
const PULL_MS_MAX = 300_000;
const IMAGE_BYTES_MAX = 2 * 1024 * 1024 * 1024;
/** Images that are fetched at once; further ones wait. */
const PULLS_MAX = 2;
/** An image that was fetched is taken as it is for so long. */
const PULL_AGAIN_MS = 60_000;
/** Images of which it is known when they were fetched. */
const REMEMBERED_MAX = 1_000;

/** The developer's mistake: told as the answer to the call. */
export class ImageRefused extends Error {}

export interface ImageConfig {
  /** Entry point and command: what its containers run. */
  readonly program: readonly string[];
  /** Paths that it wants outside of its file system. */
  readonly volumes: readonly string[];
}

export interface ImagesDeps {
  readonly docker: Docker;
  readonly clock: Clock;
  readonly log: Log;
  /** Beginnings of names that are never fetched. */
  readonly localImages: readonly string[];
}

export class Images {
  readonly #pulling = new Map<string, Promise<void>>();
  readonly #pulledMonoMs = new Map<string, number>();
  readonly #turn: (() => void)[] = [];
  #pulls = 0;

  constructor(private readonly deps: ImagesDeps) {}

  /** Fetches it when that is due. @throws ImageRefused; or what Docker says when it does not answer */
  async ready(image: string): Promise<ImageConfig> {
    const found = await this.#inspect(image);
    const local = this.deps.localImages.find((prefix) => image.startsWith(prefix));
    if (local !== undefined) {
      if (found) return found;
      throw new ImageRefused(
        `Failed to pull container image '${image}'. It is not on the invoker's machine, and images that begin with "${local}" are never fetched.`,
      );
    }
    if (found && (!mayChange(image) || this.#isFresh(image))) return found;
    await this.#pull(image);
    const pulled = await this.#inspect(image);
    if (!pulled) throw new ImageRefused(`Failed to pull container image '${image}'. It is gone again.`);
    return pulled;
  }

  #isFresh(image: string): boolean {
    const pulled = this.#pulledMonoMs.get(image);
    return pulled !== undefined && this.deps.clock.monoMs() - pulled < PULL_AGAIN_MS;
  }

  async #inspect(image: string): Promise<ImageConfig | undefined> {
    try {
      const { Config: config } = await this.deps.docker.getImage(image).inspect();
      return {
        program: [...listOf(config.Entrypoint), ...listOf(config.Cmd)],
        volumes: keysOf(config.Volumes),
      };
    } catch (thrown) {
      if ((thrown as { statusCode?: number }).statusCode === 404) return undefined;
      throw thrown;
    }
  }

  /** All who want an image wait for the same transfer, which goes on when they give up. */
  #pull(image: string): Promise<void> {
    const running = this.#pulling.get(image);
    if (running) return running;
    const pulling = this.#pullInTurn(image).finally(() => this.#pulling.delete(image));
    this.#pulling.set(image, pulling);
    return pulling;
  }

  async #pullInTurn(image: string): Promise<void> {
    while (this.#pulls >= PULLS_MAX) await new Promise<void>((resolve) => this.#turn.push(resolve));
    this.#pulls += 1;
    try {
      await this.#transfer(image);
      this.#pulledMonoMs.delete(image);
      this.#pulledMonoMs.set(image, this.deps.clock.monoMs());
      const [oldest] = this.#pulledMonoMs.keys();
      if (this.#pulledMonoMs.size > REMEMBERED_MAX && oldest !== undefined) this.#pulledMonoMs.delete(oldest);
    } catch (thrown) {
      const { statusCode, message } = thrown as { statusCode?: number; message: string };
      if (statusCode === undefined && !(thrown instanceof TransferFailed)) throw thrown; // Docker does not answer
      this.deps.log.info("an image could not be fetched", { image, error: thrown });
      throw new ImageRefused(`Failed to pull container image '${image}'. ${message.trim()}`);
    } finally {
      this.#pulls -= 1;
      this.#turn.shift()?.();
    }
  }

  async #transfer(image: string): Promise<void> {
    const { docker, clock } = this.deps;
    // Without a tag Docker would fetch all there are.
    const stream = await docker.pull(/[:@][^/]*$/.test(image) ? image : `${image}:latest`);
    const layers = new Map<string, number>();
    let total = 0;
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => {
        reject(new TransferFailed(why));
        (stream as NodeJS.ReadableStream & { destroy(): void }).destroy();
      };
      const cancel = clock.after(PULL_MS_MAX, () => {
        fail(`It was not here within ${PULL_MS_MAX / 1_000} s.`);
      });
      docker.modem.followProgress(
        stream,
        (failed) => {
          cancel();
          if (failed) reject(new TransferFailed(failed.message));
          else resolve();
        },
        (event: { readonly id?: string; readonly progressDetail?: { readonly total?: number } }) => {
          const { id, progressDetail } = event;
          if (id === undefined || progressDetail?.total === undefined || layers.has(id)) return;
          layers.set(id, progressDetail.total);
          total += progressDetail.total;
          if (total > IMAGE_BYTES_MAX) fail(`It is larger than allowed: more than ${IMAGE_BYTES_MAX} bytes.`);
        },
      );
    });
  }
}

class TransferFailed extends Error {}

/** Docker says null where its types do not. */
function keysOf(of: object | null): readonly string[] {
  return Object.keys(of ?? {});
}

function listOf(value: string | string[] | null | undefined): readonly string[] {
  if (value === null || value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}
