#!/bin/sh
# Checks an action of deno or bun, after its dependencies were put beside it when that is asked for: what the launcher's build
# mode starts (runtimes/launcher/build.go says what it finds).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
resolved=
if [ "$WEFT_BUILD_STEP" = resolve ]; then . "$here/resolve.sh"; fi
if command -v bun >/dev/null 2>&1 && [ "$(basename "$here")" != deno ]; then
  bun --config=/dev/null "$here/check.mjs" # none of the action's own, which may name what runs first
else
  deno run --quiet --no-config --no-lock --allow-all "$here/check.mjs"
fi
if [ -n "$resolved" ]; then find . -mindepth 1 -maxdepth 1 -exec mv {} "$WEFT_OUTPUT_DIR" \; ; fi
