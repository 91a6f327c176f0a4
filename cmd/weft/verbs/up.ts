import { resolve } from "node:path";

import { DEFAULT_GRPC_ADDRESS, DEFAULT_REST_ADDRESS, DEFAULT_STATE_DIR } from "../local/layout.js";
import { up as start } from "../local/up.js";
import type { Verb } from "../spec.js";

export const up: Verb = async (cli, _args, values) => {
  await start(
    {
      stateDir: resolve(cli.io.cwd, values.text("state-dir") ?? DEFAULT_STATE_DIR),
      grpcAddress: values.text("grpc") ?? DEFAULT_GRPC_ADDRESS,
      restAddress: values.text("rest") ?? DEFAULT_REST_ADDRESS,
      invokers: values.number("invokers", 1, 64) ?? 3,
      gateways: values.number("gateways", 1, 16) ?? 1,
    },
    {
      out: (text) => {
        cli.io.out.write(text);
      },
      err: (text) => {
        cli.io.err.write(text);
      },
    },
  );
};
