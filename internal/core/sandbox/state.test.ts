import { machineSuite } from "../../base/machine.suite.js";
import { sandboxMachine } from "./state.js";

machineSuite(sandboxMachine, [
  ["warm", "stem"], // code that ran once never serves another action
  ["frozen", "stem"],
  ["gone", "starting"],
  ["stem", "frozen"],
]);
