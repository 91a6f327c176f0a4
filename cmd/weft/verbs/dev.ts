import { dev as run, devDetached } from "../local/dev.js";
import { DEFAULT_STATE_DIR } from "../local/layout.js";
import type { Verb } from "../spec.js";

/** Settings of the fabric that this command line passes on. */
const PASSED = [
  "state-dir",
  "grpc",
  "rest",
  "driver",
  "docker-host",
  "memory-mb",
  "postgres-url",
  "log-level",
] as const;

export const dev: Verb = async (cli, _args, values) => {
  const argv = PASSED.flatMap((name) => {
    const value = values.text(name);
    return value === undefined ? [] : [`--${name}`, value];
  });
  if (values.flag("hide-parameters")) argv.push("--hide-parameters");
  const talk = {
    out: (text: string) => {
      cli.io.out.write(text);
    },
    err: (text: string) => {
      cli.io.err.write(text);
    },
  };
  if (!values.flag("detach")) return run(argv, talk);
  await devDetached(argv, values.text("state-dir") ?? DEFAULT_STATE_DIR, talk);
  return 0;
};
