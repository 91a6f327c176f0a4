import { runCli } from "./cli.js";
import { systemIo } from "./io.js";

process.exitCode = await runCli(process.argv.slice(2), systemIo());
