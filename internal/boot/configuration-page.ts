import { configMarkdown, type Schema } from "../base/config.js";
import { commonConfig } from "./command.js";

export interface DocumentedCommand {
  /** "gateway" for weft-gateway. */
  readonly name: string;
  /** One sentence: what the process does. */
  readonly summary: string;
  readonly schema: Schema;
}

/** docs/configuration.md, whole, from the schemas of the commands. */
export function configurationPage(commands: readonly DocumentedCommand[]): string {
  const sections = commands.map(
    ({ name, summary, schema }) => `## weft-${name}\n\n${summary}\n\n${configMarkdown(schema)}\n`,
  );
  return `# Configuration

This page is generated from the schemas of the commands; \`--help\` of each command prints the same.

A setting is given as a flag (\`--heartbeat-ms 5s\`), as a variable (\`WEFT_HEARTBEAT_MS=5s\`) or in a file. A flag beats its
variable, which beats the file, which beats the default. Everything that is wrong is reported at once, before anything
starts, and the process exits with 2. The settings are logged once at start, each with where it came from, secrets masked.

- **Files.** \`--config <path>\` or \`WEFT_CONFIG\` names one: a JSON object with the settings by name, or lines of
  \`VARIABLE=value\`. An unknown name in a JSON object is a mistake; unknown variables in lines belong to other commands.
- **Durations** are \`250ms\`, \`5s\`, \`2m\`, \`1.5h\`, \`7d\` or plain milliseconds.
- **Lists** are separated by commas; in JSON they are arrays.
- **Switches** are \`--name\`, \`--no-name\` or \`--name=false\`.
- **Secrets** can also be read from a file that \`<VARIABLE>_FILE\` names, such as \`WEFT_POSTGRES_URL_FILE\`.
- A variable that is set to nothing counts as not set.
- \`WEFT_READY_FD\` names a descriptor to which the process writes one line of JSON when it serves.

Exit codes: 0 stopped in order; 1 something failed, or the stop took longer than \`--grace-ms\` or was cut short by a second
signal; 2 the settings are wrong; 3 it could not start.

## Every command

${configMarkdown(commonConfig)}
${sections.map((section) => `\n${section}`).join("")}`;
}
