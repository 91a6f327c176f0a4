// Completion scripts for shells, made from the table of commands.

import { usage } from "../output.js";
import type { NounSpec, OptionSpec, Verb, VerbSpec } from "../spec.js";

/** All that can be completed. */
export interface CommandTable {
  readonly nouns: readonly NounSpec[];
  readonly topVerbs: readonly VerbSpec[];
  readonly optionsOf: (spec: VerbSpec) => readonly OptionSpec[];
}

/** The verb, for a table that is given because the table itself names this verb. */
export function completionOf(table: CommandTable): Verb {
  return async (cli, [shell = ""]) => {
    const make = SHELLS[shell];
    if (!make) throw usage(`there is no completion for "${shell}": bash, zsh or fish`, "weft completion bash");
    cli.screen.print(make(wordsOf(table)));
  };
}

interface Word {
  /** What stands before it: "", "action", "action create". */
  readonly after: string;
  readonly word: string;
  readonly help: string;
}

function wordsOf({ nouns, topVerbs, optionsOf }: CommandTable): readonly Word[] {
  const flags = (after: string, options: readonly OptionSpec[]): Word[] =>
    options.map((option) => ({ after, word: `--${option.name}`, help: option.help }));
  return [
    ...topVerbs.map(({ name, help }) => ({ after: "", word: name, help })),
    ...nouns.map(({ name, help }) => ({ after: "", word: name, help })),
    ...topVerbs.flatMap((spec) => flags(spec.name, optionsOf(spec))),
    ...["bash", "zsh", "fish"].map((word) => ({ after: "completion", word, help: `for ${word}` })),
    ...nouns.flatMap((noun) => [
      ...verbWords(noun),
      ...noun.verbs.flatMap((spec) => flags(`${noun.name} ${spec.name}`, optionsOf(spec))),
    ]),
  ];
}

/** The words of a noun's verbs; the first of two comes once. */
function verbWords({ name, verbs, groups = {} }: NounSpec): readonly Word[] {
  const firsts = new Map<string, Word>();
  const seconds: Word[] = [];
  for (const verb of verbs) {
    const [first = "", second] = verb.name.split(" ");
    const help = second === undefined ? verb.help : (groups[first] ?? "");
    firsts.set(first, { after: name, word: first, help });
    if (second !== undefined) seconds.push({ after: `${name} ${first}`, word: second, help: verb.help });
  }
  return [...firsts.values(), ...seconds];
}

const SHELLS: Readonly<Record<string, (words: readonly Word[]) => string>> = { bash, zsh, fish };

function cases(words: readonly Word[]): string {
  return [...grouped(words)]
    .map(([after, all]) => `    "${after}") words="${all.map(({ word }) => word).join(" ")}" ;;`)
    .join("\n");
}

function grouped(words: readonly Word[]): Map<string, Word[]> {
  const result = new Map<string, Word[]>();
  for (const word of words) result.set(word.after, [...(result.get(word.after) ?? []), word]);
  return result;
}

function bash(words: readonly Word[]): string {
  return `# Completion of weft for bash: eval "$(weft completion bash)"
_weft() {
  local current="\${COMP_WORDS[COMP_CWORD]}" topic="" words="" i
  for ((i = 1; i < COMP_CWORD && i < 4; i++)); do
    case "\${COMP_WORDS[i]}" in -*) break ;; esac
    topic="\${topic:+$topic }\${COMP_WORDS[i]}"
  done
  while [ -z "$words" ]; do
    case "$topic" in
${cases(words)}
    esac
    case "$topic" in *" "*) topic="\${topic% *}" ;; *) break ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _weft weft`;
}

function zsh(words: readonly Word[]): string {
  return `#compdef weft
# Completion of weft for zsh: eval "$(weft completion zsh)"
autoload -U +X bashcompinit && bashcompinit
${bash(words).split("\n").slice(1).join("\n")}`;
}

function fish(words: readonly Word[]): string {
  const besides = (after: string): string =>
    words
      .filter((one) => one.after === after && !one.word.startsWith("--"))
      .map(({ word }) => word)
      .join(" ");
  const lines = words.map(({ after, word, help }) => {
    const before = after.split(" ");
    const seen = (one: string): string => `__fish_seen_subcommand_from ${one}`;
    const condition =
      after === ""
        ? "__fish_use_subcommand"
        : !word.startsWith("--") && after !== "completion"
          ? `${before.map(seen).join("; and ")}; and not ${seen(besides(after))}`
          : before.map(seen).join("; and ");
    const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-f -a ${word}`;
    return `complete -c weft -n '${condition}' ${what} -d '${help.replace(/'/g, "\\'")}'`;
  });
  return [`# Completion of weft for fish: weft completion fish | source`, ...lines].join("\n");
}
