import { resolve } from "node:path";

import { DEFAULT_STATE_DIR } from "../local/layout.js";
import { down as stop } from "../local/up.js";
import type { Verb } from "../spec.js";

export const down: Verb = async (cli, _args, values) => {
  const stateDir = resolve(cli.io.cwd, values.text("state-dir") ?? DEFAULT_STATE_DIR);
  const stopped = await stop(stateDir, {
    out: (text) => {
      cli.io.out.write(text);
    },
    err: (text) => {
      cli.io.err.write(text);
    },
  });
  if (cli.screen.json) cli.screen.printJson({ stopped });
  else if (stopped.length === 0) cli.screen.say(`nothing runs here (${stateDir})`);
  else cli.screen.say(`stopped ${stopped.join(", ")}`);
};
