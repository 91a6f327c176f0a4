// Keys, and whose key is used.

import { AccessServiceService as Service, type Key } from "../../../internal/gen/weft/access/v1/access.pb.js";
import { iso, time } from "../output.js";
import type { Cli } from "../cli-context.js";
import type { Values, Verb } from "../spec.js";

export const whoami: Verb = async (cli) => {
  const me = await cli.call(Service.whoAmI, {});
  const { grpc, rest } = cli.connection;
  if (cli.screen.json) {
    const { subject, namespace, uuid, operator } = me;
    cli.screen.printJson({ subject, namespace, uuid, operator, grpc, rest });
    return;
  }
  cli.screen.fields([
    ["subject", me.subject],
    ["namespace", me.namespace],
    ["key", me.uuid],
    ["operator", me.operator ? "yes" : "no"],
    ["gRPC", grpc],
    ["REST", rest],
  ]);
};

export const createKey: Verb = async (cli, _args, values) => {
  const { key, auth } = await cli.call(Service.createKey, {
    namespace: cli.namespace,
    subject: values.text("subject") ?? "",
  });
  if (cli.screen.json) cli.screen.printJson({ ...(key ? keyJson(key) : {}), auth });
  else {
    cli.screen.print(auth);
    cli.screen.say("created a key; it is shown only now");
  }
};

export const listKeys: Verb = async (cli) => {
  const { keys } = await cli.call(Service.listKeys, { namespace: cli.namespace });
  if (cli.screen.json) cli.screen.printJson(keys.map(keyJson));
  else {
    cli.screen.table(keys, [
      { title: "UUID", value: (k) => k.uuid },
      { title: "NAMESPACE", value: (k) => k.namespace },
      { title: "SUBJECT", value: (k) => k.subject },
      { title: "CREATED", value: (k) => time(k.createTime) },
      { title: "EXPIRES", value: (k) => time(k.expireTime) },
    ]);
  }
};

export const rotateKey: Verb = async (cli, [uuid = "_"], values) => {
  await rotated(cli, cli.namespace, uuid, values);
};

/** Makes a key in the place of another and shows it. */
export async function rotated(cli: Cli, namespace: string, uuid: string, values: Values): Promise<void> {
  const graceSeconds = (values.duration("grace") ?? 0) / 1_000;
  const { key, auth, oldExpireTime } = await cli.call(Service.rotateKey, { namespace, uuid, graceSeconds });
  if (cli.screen.json) {
    cli.screen.printJson({ ...(key ? keyJson(key) : {}), auth, oldExpireTime: iso(oldExpireTime) });
    return;
  }
  cli.screen.print(auth);
  cli.screen.say(
    oldExpireTime
      ? `made a key, shown only now; the old one works until ${time(oldExpireTime)}`
      : "made a key, shown only now; the old one is revoked",
  );
}

export const deleteKey: Verb = async (cli, [uuid = ""]) => {
  await cli.call(Service.deleteKey, { namespace: cli.namespace, uuid });
  if (cli.screen.json) cli.screen.printJson({ deleted: uuid });
  else cli.screen.say(`revoked key ${uuid}`);
};

export function keyJson(key: Key): Record<string, unknown> {
  return {
    uuid: key.uuid,
    namespace: key.namespace,
    subject: key.subject,
    createTime: iso(key.createTime),
    ...(key.expireTime ? { expireTime: iso(key.expireTime) } : {}),
  };
}
