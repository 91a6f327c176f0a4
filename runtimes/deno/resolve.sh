# Puts the packages of package.json into node_modules, with Deno or Bun: sourced by build.sh for the step "resolve". The program
# says nothing and does nothing where nothing is to be done, and leaves a lock where something was.
if command -v bun >/dev/null 2>&1 && [ "$(basename "$here")" != deno ]; then
  # Without the archive's bunfig.toml, which may name code that is run before; Bun's install, which runs none, reads it.
  bun --config=/dev/null "$here/resolve.mjs"
else
  deno run --quiet --no-config --no-lock --allow-all "$here/resolve.mjs"
fi
if [ -e "$WEFT_LOCK_FILE" ]; then resolved=yes; fi
