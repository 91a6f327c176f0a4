// Completion scripts for shells, made from the table of commands.

import { nouns, optionsOf, topVerbs } from "../commands.js";
import { usage } from "../output.js";
import type { OptionSpec, Verb } from "../spec.js";

export const completion: Verb = async (cli, [shell = ""]) => {
  const make = SHELLS[shell];
  if (!make) throw usage(`there is no completion for "${shell}": bash, zsh or fish`, "weft completion bash");
  cli.screen.print(make());
};

interface Word {
  /** What stands before it: "", "action", "action create". */
  readonly after: string;
  readonly word: string;
  readonly help: string;
}

function words(): readonly Word[] {
  const flags = (after: string, options: readonly OptionSpec[]): Word[] =>
    options.map((option) => ({ after, word: `--${option.name}`, help: option.help }));
  return [
    ...topVerbs.map(({ name, help }) => ({ after: "", word: name, help })),
    ...nouns.map(({ name, help }) => ({ after: "", word: name, help })),
    ...topVerbs.flatMap((spec) => flags(spec.name, optionsOf(spec))),
    ...["bash", "zsh", "fish"].map((word) => ({ after: "completion", word, help: `for ${word}` })),
    ...nouns.flatMap((noun) => [
      ...noun.verbs.map(({ name, help }) => ({ after: noun.name, word: name, help })),
      ...noun.verbs.flatMap((spec) => flags(`${noun.name} ${spec.name}`, optionsOf(spec))),
    ]),
  ];
}

const SHELLS: Readonly<Record<string, () => string>> = { bash, zsh, fish };

function cases(): string {
  return [...grouped()]
    .map(([after, all]) => `    "${after}") words="${all.map(({ word }) => word).join(" ")}" ;;`)
    .join("\n");
}

function grouped(): Map<string, Word[]> {
  const result = new Map<string, Word[]>();
  for (const word of words()) result.set(word.after, [...(result.get(word.after) ?? []), word]);
  return result;
}

function bash(): string {
  return `# Completion of weft for bash: eval "$(weft completion bash)"
_weft() {
  local current="\${COMP_WORDS[COMP_CWORD]}" topic="" words="" i
  for ((i = 1; i < COMP_CWORD && i < 3; i++)); do
    case "\${COMP_WORDS[i]}" in -*) break ;; esac
    topic="\${topic:+$topic }\${COMP_WORDS[i]}"
  done
  case "$topic" in
${cases()}
    *) topic="\${topic%% *}" ;;
  esac
  if [ -z "$words" ]; then
    case "$topic" in
${cases()}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _weft weft`;
}

function zsh(): string {
  return `#compdef weft
# Completion of weft for zsh: eval "$(weft completion zsh)"
autoload -U +X bashcompinit && bashcompinit
${bash().split("\n").slice(1).join("\n")}`;
}

function fish(): string {
  const lines = words().map(({ after, word, help }) => {
    const [noun, verb] = after.split(" ");
    const seen = (one: string): string => `__fish_seen_subcommand_from ${one}`;
    const condition = !noun
      ? "__fish_use_subcommand"
      : !verb && !word.startsWith("--") && after !== "completion"
        ? `${seen(noun)}; and not ${seen(verbsOf(noun))}`
        : [noun, ...(verb ? [verb] : [])].map(seen).join("; and ");
    const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-f -a ${word}`;
    return `complete -c weft -n '${condition}' ${what} -d '${help.replace(/'/g, "\\'")}'`;
  });
  return [`# Completion of weft for fish: weft completion fish | source`, ...lines].join("\n");
}

function verbsOf(noun: string): string {
  return (nouns.find((one) => one.name === noun)?.verbs ?? []).map((verb) => verb.name).join(" ");
}
