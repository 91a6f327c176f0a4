// What a formatter and the compiler cannot hold. Rules that need types are the reason for this tool: a promise that
// nobody awaits, a switch that forgets a case.

import { defineConfig } from "eslint/config";
import tseslint from "typescript-eslint";

const clock = "Take a Clock (internal/base/clock.ts).";
const random = "Take a Random (internal/base/random.ts).";

export default defineConfig(
  {
    ignores: [
      "dist/**",
      "internal/gen/**",
      "node_modules/**",
      "bench-results/**",
      ".weft/**",
      "test/conformance/kinds/sources/**",
    ],
  },
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { project: "./tsconfig.json", tsconfigRootDir: new URL("..", import.meta.url).pathname },
    },
    rules: {
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: false },
      ],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // Numbers and the like in messages say what they are.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      "@typescript-eslint/no-confusing-void-expression": "off", // `() => this.#receive()` reads well
      "@typescript-eslint/no-empty-function": "off", // a callback that is not set yet
      "@typescript-eslint/no-unnecessary-condition": ["error", { allowConstantLoopConditions: true }],
      "@typescript-eslint/unified-signatures": "off",
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/require-await": "off", // an interface that promises may be kept without waiting
      "@typescript-eslint/prefer-promise-reject-errors": "off",
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
      "@typescript-eslint/no-extraneous-class": "off",
      "@typescript-eslint/no-base-to-string": "error",
      // Enums come from libraries and wires only, and a peer may send numbers that this version does not know.
      "@typescript-eslint/no-unsafe-enum-assignment": "off",
      "@typescript-eslint/no-unsafe-enum-comparison": "off",
      "@typescript-eslint/no-unnecessary-type-conversion": "error",
      // A callback may return nothing or something.
      "@typescript-eslint/no-invalid-void-type": "off",
      eqeqeq: "error",
      "no-console": "error",
    },
  },
  {
    // The clock rule: decisions and roles are replayed from a seed.
    files: ["internal/{base,core,dispatch,gateway,controller,scheduler,invoker}/**/*.ts"],
    ignores: ["**/*.{test,suite,bench}.ts"],
    rules: {
      "no-restricted-globals": [
        "error",
        { name: "setTimeout", message: clock },
        { name: "setInterval", message: clock },
        { name: "performance", message: clock },
      ],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: clock },
        { object: "Math", property: "random", message: random },
        { object: "process", property: "env", message: "Only cmd/ and internal/boot/ read the process." },
        { object: "process", property: "argv", message: "Only cmd/ and internal/boot/ read the process." },
        { object: "process", property: "exit", message: "Only cmd/ and internal/boot/ end the process." },
      ],
      "no-restricted-syntax": [
        "error",
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: clock },
      ],
    },
  },
  {
    files: ["**/*.{test,suite,bench}.ts", "test/**/*.ts"],
    rules: {
      "@typescript-eslint/no-non-null-assertion": "off",
      "@typescript-eslint/no-floating-promises": [
        "error",
        { allowForKnownSafeCalls: [{ from: "package", name: ["it", "describe", "test"], package: "vitest" }] },
      ],
      "@typescript-eslint/unbound-method": "off",
    },
  },
);
