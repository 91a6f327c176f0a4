// Parses a command line by the table of commands, runs the verb, and turns what it throws into words and an exit code.

import { Command, CommanderError, Option } from "commander";

import { toWeftError, WeftError } from "../../internal/base/errors.js";
import { Cli } from "./cli-context.js";
import { nouns, optionsOf, topVerbs } from "./commands.js";
import { exitCodeOf, printError } from "./errors.js";
import type { Io } from "./io.js";
import { version } from "./local/banner.js";
import { Screen, usage } from "./output.js";
import { Values, type OptionSpec, type VerbSpec } from "./spec.js";

/** @returns the exit code. Never rejects */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  // Known before anything is parsed, so that a mistake in parsing is told in the same way.
  let screen = new Screen(io, argv.includes("--json"));
  let run: { readonly spec: VerbSpec; readonly args: readonly string[]; readonly values: Values } | undefined;
  try {
    const program = programOf(io, (spec, args, values) => (run = { spec, args, values }));
    const paired = pairUp(argv);
    program.parse([...paired], { from: "user" });
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) return fail(screen, toWeftError(thrown), undefined);
    if (thrown.exitCode === 0) return 0; // help or version was asked for
    // Without a command, commander prints the help itself.
    if (thrown.code === "commander.help") return 1;
    const [message = "", ...more] = thrown.message.replace(/^error: /, "").split("\n");
    const hint = more.join(" ").replace(/[()]/g, "").trim();
    const text = hint === "" ? message : `${message}; ${hint.charAt(0).toLowerCase()}${hint.slice(1)}`;
    return fail(screen, usage(text, `weft ${topicOf(argv)}--help`), undefined);
  }
  if (!run) return 1;
  const { spec, args, values } = run;
  screen = new Screen(io, values.flag("json"));
  // A command may have an option of its own of the same name, which means something else.
  const common = (name: string): string | undefined =>
    spec.remote && !spec.options.some((own) => own.name === name) ? values.text(name) : undefined;
  const flags = {
    apihost: common("apihost"),
    auth: common("auth"),
    grpc: common("grpc"),
    ca: common("ca"),
    insecure: common("insecure") !== undefined,
  };
  const cli = new Cli(screen, common("namespace") ?? "_", flags);
  try {
    const verb = await spec.load();
    return (await verb(cli, args, values)) ?? 0;
  } catch (thrown) {
    if (io.signal.aborted) return fail(screen, new WeftError("canceled", "INTERRUPTED", "cancelled"), cli.called);
    return fail(screen, toWeftError(thrown), cli.called);
  } finally {
    cli.close();
  }
}

function fail(screen: Screen, error: WeftError, where: string | undefined): number {
  printError(screen, error, where);
  return exitCodeOf(error);
}

/** The part of a command line that names the command: for pointing at its help. */
function topicOf(argv: readonly string[]): string {
  const noun = nouns.find((one) => one.name === argv[0]);
  const verb = noun
    ? noun.verbs.find(({ name }) => name === argv[1] || name === `${argv[1] ?? ""} ${argv[2] ?? ""}`)
    : topVerbs.find((one) => one.name === argv[0]);
  return [noun?.name, verb?.name].map((part) => (part === undefined ? "" : `${part} `)).join("");
}

const pairOptions: readonly OptionSpec[] = nouns
  .flatMap((noun) => noun.verbs.flatMap((verb) => verb.options))
  .filter((option) => option.pair);

const optionalOptions: ReadonlySet<string> = new Set(
  nouns.flatMap(({ verbs }) =>
    verbs.flatMap(({ options }) => options.filter(({ optional }) => optional).map(({ name }) => `--${name}`)),
  ),
);

/**
 * "--param KEY VALUE" becomes one word: the value may be anything, also something that looks like an option. What stands
 * after an option whose value was left out is not its value.
 */
function pairUp(argv: readonly string[]): readonly string[] {
  const result: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--") return [...result, ...argv.slice(i)];
    const option = pairOptions.find(
      ({ name, short }) => word === `--${name}` || (short !== undefined && word === `-${short}`),
    );
    if (!option) {
      result.push(optionalOptions.has(word) ? `${word}=` : word);
      continue;
    }
    const [key, value] = [argv[i + 1], argv[i + 2]];
    if (key === undefined || value === undefined) {
      throw usage(`${word} takes a key and a value: ${word} KEY VALUE`, `weft ${topicOf(argv)}--help`);
    }
    result.push(`--${option.name}=${JSON.stringify([key, value])}`);
    i += 2;
  }
  return result;
}

function programOf(io: Io, run: (spec: VerbSpec, args: readonly string[], values: Values) => void): Command {
  const base = (name: string): Command =>
    new Command(name)
      .exitOverride()
      .helpOption("-h, --help", "show this help")
      .helpCommand(false)
      .showSuggestionAfterError(true)
      .configureOutput({
        writeOut: (text) => {
          io.out.write(text);
        },
        writeErr: (text) => {
          // Errors are told in our own words; what is left is help that was not asked for.
          if (!text.startsWith("error:")) io.err.write(text);
        },
        getOutHelpWidth: () => io.out.columns || 100,
        getErrHelpWidth: () => io.err.columns || 100,
        outputError: () => {},
      })
      .configureHelp({ optionTerm: (option) => optionTerms.get(option.attributeName()) ?? option.flags });
  const program = base("weft")
    .usage("COMMAND …")
    .description("Weft runs functions: deploy code, fire events, read back what happened.")
    .version(version(), "-V, --version", "show the version")
    .addHelpText("after", "\nweft COMMAND --help tells more of each.");
  program.commandsGroup("Commands:");
  for (const spec of topVerbs) program.addCommand(commandOf(base(spec.name), spec, run));
  program.commandsGroup("Nouns, each with verbs:");
  for (const noun of nouns) {
    const command = base(noun.name).usage("VERB …").description(noun.help);
    // A verb of two words is found below the first of them.
    const groups = new Map<string, Command>();
    for (const spec of noun.verbs) {
      const [first = "", second] = spec.name.split(" ");
      if (second === undefined) {
        command.addCommand(commandOf(base(first), spec, run));
        continue;
      }
      let group = groups.get(first);
      if (!group) {
        group = base(first)
          .usage("VERB …")
          .description(noun.groups?.[first] ?? "");
        groups.set(first, group);
        command.addCommand(group);
      }
      group.addCommand(commandOf(base(second), spec, run));
    }
    program.addCommand(command);
  }
  return program;
}

const optionTerms: ReadonlyMap<string, string> = new Map(
  pairOptions.map(({ name, short }) => [name, `${short === undefined ? "" : `-${short}, `}--${name} KEY VALUE`]),
);

function commandOf(
  command: Command,
  spec: VerbSpec,
  run: (spec: VerbSpec, args: readonly string[], values: Values) => void,
): Command {
  command.description(spec.help);
  if (spec.example !== undefined) command.addHelpText("after", `\nFor example:\n  ${spec.example}`);
  for (const { name, optional, help } of spec.args) command.argument(optional ? `[${name}]` : `<${name}>`, help);
  const given = new Map<string, string[]>();
  const specs = optionsOf(spec);
  // An option of the command itself comes before a common one of the same name.
  for (const option of specs.filter((one, i) => specs.findIndex((other) => other.name === one.name) === i)) {
    const value = option.pair
      ? " <pair>"
      : option.value === undefined
        ? ""
        : option.optional
          ? ` [${option.value}]`
          : ` <${option.value}>`;
    const made = new Option(
      `${option.short === undefined ? "" : `-${option.short}, `}--${option.name}${value}`,
      option.help,
    );
    if (option.choices) made.choices([...option.choices]);
    command.addOption(made);
    command.on(`option:${option.name}`, (text: string | null) => {
      given.set(option.name, [...(given.get(option.name) ?? []), text ?? ""]);
    });
  }
  command.action((...all: unknown[]) => {
    run(
      spec,
      all.slice(0, spec.args.length).filter((one): one is string => typeof one === "string"),
      new Values(given),
    );
  });
  return command;
}
