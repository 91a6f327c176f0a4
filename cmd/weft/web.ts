// What makes an action a web action, as `wsk` does it, and where one is then.

import { randomBytes } from "node:crypto";

import type { KeyValue } from "../../internal/gen/weft/common/v1/common.pb.js";
import { usage } from "./output.js";
import type { Values } from "./spec.js";

/** Annotations that --web and --web-secure stand for. */
export function webAnnotations(values: Values): KeyValue[] {
  const web = values.text("web");
  const annotations: [key: string, valueJson: string][] = [];
  if (web !== undefined) {
    annotations.push(
      ["web-export", String(web !== "false")],
      ["raw-http", String(web === "raw")],
      // Strangers may not override the action's parameters.
      ["final", String(web !== "false")],
    );
  }
  const secret = values.text("web-secure");
  if (secret === "") throw usage("--web-secure must be true, false or a secret");
  if (secret !== undefined) {
    if (web === "false" && secret !== "false")
      throw usage("--web-secure is for web actions, and --web false makes none");
    annotations.push(["require-whisk-auth", secretJson(secret)]);
  }
  return annotations.map(([key, valueJson]) => ({ key, valueJson, init: false }));
}

function secretJson(text: string): string {
  if (text === "false") return text;
  // A whole number that every client reads exactly.
  if (text === "true") return String(randomBytes(8).readBigUInt64BE() >> 11n);
  return JSON.stringify(text);
}

/** URL of an action for anybody, when it is exported; else for who has a key. */
export function actionUrl(
  rest: string,
  action: { readonly namespace: string; readonly name: string; readonly annotations: readonly KeyValue[] },
): string {
  const path = action.name.split("/").map(encodeURIComponent);
  const namespace = encodeURIComponent(action.namespace);
  if (!action.annotations.some(({ key, valueJson }) => key === "web-export" && valueJson.trim() === "true")) {
    return `${rest}/api/v1/namespaces/${namespace}/actions/${path.join("/")}`;
  }
  return `${rest}/api/v1/web/${namespace}/${path.length === 1 ? "default/" : ""}${path.join("/")}`;
}
