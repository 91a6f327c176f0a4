// `weft action invoke`: the id at once, the activation, or the bare result.

import { Outcome, type Activation } from "../../../internal/gen/weft/activation/v1/activation.pb.js";
import { InvokeServiceService as Service } from "../../../internal/gen/weft/invoke/v1/invoke.pb.js";
import type { Cli } from "../cli-context.js";
import { parseName } from "../names.js";
import { usage } from "../output.js";
import { paramsJson } from "../params.js";
import { outcomeOf, resultText } from "../show.js";
import type { Values, Verb } from "../spec.js";
import { orMeant } from "./action.js";
import { showActivation } from "./activation.js";

/** The server ends the waiting after 60 s; the answer has to come back. */
const BLOCKING_MS = 65_000;

/** @param localOnly options that mean something with --local only */
export function invokeAction(localOnly: readonly string[]): Verb {
  return async (cli, [nameText = ""], values) => {
    if (values.flag("local")) return (await import("./invoke-local.js")).invokeLocally(cli, nameText, values);
    for (const name of localOnly) if (values.flag(name)) throw usage(`--${name} needs --local`);
    return invokeThere(cli, nameText, values);
  };
}

async function invokeThere(cli: Cli, nameText: string, values: Values): Promise<number> {
  const { namespace, name } = parseName(nameText, cli.namespace, 2);
  const blocking = values.flag("blocking") || values.flag("result");
  const params = await paramsJson(values.pairs("param"), values.text("param-file"), cli.io);
  const { activationId, activation } = await orMeant(
    cli,
    namespace,
    name,
    cli.call(
      Service.invoke,
      { namespace, action: name, paramsJson: params, blocking, waitMs: 0 },
      { what: `${name} is running`, ...(blocking ? { deadlineMs: BLOCKING_MS } : {}) },
    ),
  );
  if (activation) {
    if (values.flag("result")) printResult(cli.screen, activation);
    else showActivation(cli.screen, activation);
    return activation.outcome === Outcome.SUCCESS ? 0 : activation.outcome === Outcome.PLATFORM_ERROR ? 3 : 1;
  }
  if (cli.screen.json) cli.screen.printJson({ activationId });
  else cli.screen.print(activationId);
  if (blocking) {
    // Exit code 4: it goes on, but what was asked for is not here.
    cli.screen.say(`it takes longer than 60 s and goes on: weft activation get ${activationId} --wait 600`);
    return 4;
  }
  if (cli.io.err.isTty) cli.screen.say(cli.screen.colours.dim(`weft activation get ${activationId}`));
  return 0;
}

function printResult(screen: Parameters<typeof showActivation>[0], activation: Activation): void {
  screen.print(resultText(activation.resultJson));
  if (activation.outcome === Outcome.SUCCESS) return;
  const why = activation.timedOut ? " (its time limit)" : "";
  screen.say(
    `${screen.colours.red(outcomeOf(activation.outcome))}${why}: weft activation get ${activation.activationId}`,
  );
}
