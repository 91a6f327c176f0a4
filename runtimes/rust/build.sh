#!/bin/sh
# Builds a Rust action: what the launcher's build mode starts (runtimes/launcher/build.go says what it finds). The source is
# one file, which may use serde, serde_derive, serde_json and weft_action, or a Cargo package with a library. What that
# needs is in its folder `vendor`, with a .cargo/config.toml that says so, or comes from crates.io, when the build reaches it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
crates=/usr/local/lib/weft-rust
if ! command -v rustc >/dev/null 2>&1 || [ ! -d "$crates" ]; then
  echo "there is no Rust here to build with: it is built in the image weft/build-rust, which deploy/local/images makes"
  exit 69
fi

case $WEFT_ACTION_MAIN in
  '' | [0-9]* | *[!A-Za-z0-9_]*) echo "\"$WEFT_ACTION_MAIN\" is no name of a function in Rust"; exit 1 ;;
esac
if [ -e exec ] && [ ! -e Cargo.toml ]; then
  find . -mindepth 1 -maxdepth 1 -exec mv {} "$WEFT_OUTPUT_DIR" \; # built already
  exit 0
fi

said=$WEFT_BUILD_DIR/said
entry=$WEFT_BUILD_DIR/entry.rs
printf 'fn main() {\n    weft_action::serve(actions::%s);\n}\n' "$WEFT_ACTION_MAIN" >"$entry"

# explain: what the compiler says of our own few lines, in the words of who wrote the others
explain() {
  sed -E \
    -e "s/^.*(entry|src\/main)\.rs:.*error\[E0425\].*\$/the source has no public function $WEFT_ACTION_MAIN/" \
    -e "s/^.*(entry|src\/main)\.rs:.*error\[E0603\].*\$/the function $WEFT_ACTION_MAIN is not public: write pub fn $WEFT_ACTION_MAIN/" \
    -e "s/^.*(entry|src\/main)\.rs:.*error\[E02(77|83|71)\].*\$/$WEFT_ACTION_MAIN has a signature that no action has: pub fn $WEFT_ACTION_MAIN(args: Value) -> Result<Value, Error>, if you like with a weft_action::Context after args/" \
    -e '/^error: (aborting|could not compile)/d' -e '/^warning: build failed/d' "$said"
}

compile() { # EDITION ARGUMENT...: one crate, from what the image has
  edition=$1
  shift
  rustc --edition "$edition" -O --cap-lints allow --error-format short -L "dependency=$crates" "$@"
}

crate() { # NAME: where the image has it
  set -- "$1" "$crates/lib$1"-*.*
  echo "$1=$2"
}

if [ -n "${WEFT_SOURCE_FILE:-}" ]; then
  set -- --crate-type rlib --crate-name actions --extern "$(crate serde)" --extern "$(crate serde_derive)" \
    --extern "$(crate serde_json)" --extern "$(crate weft_action)" -o "$WEFT_BUILD_DIR/libactions.rlib" "$WEFT_SOURCE_FILE"
  # OpenWhisk's files are of the edition of 2018, in which some compile that do not in that of 2021.
  if ! compile 2021 "$@" >"$said" 2>&1 && ! compile 2018 "$@" >/dev/null 2>&1; then
    explain
    exit 1
  fi
  set -- --crate-name exec -C strip=debuginfo --extern "$(crate weft_action)" --extern "actions=$WEFT_BUILD_DIR/libactions.rlib" \
    -o "$WEFT_OUTPUT_DIR/exec" "$entry"
  compile 2021 "$@" >"$said" 2>&1 || {
    explain
    exit 1
  }
  exit 0
fi

export CARGO_HOME="$WEFT_BUILD_DIR/cargo" CARGO_TARGET_DIR="$WEFT_BUILD_DIR/target" CARGO_NET_RETRY=1 CARGO_TERM_COLOR=never
# Each takes some hundred MB, and a build's memory does not grow with the machine.
export CARGO_BUILD_JOBS=4
# Of what nothing locks, the newest versions that this Rust can compile.
export CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS=fallback

if [ ! -e Cargo.toml ] && [ -e src/lib.rs ]; then
  # As OpenWhisk has it: the package of a single file.
  printf '[package]\nname = "actions"\nversion = "0.1.0"\nedition = "2018"\n\n[dependencies]\nserde = "1"\nserde_derive = "1"\nserde_json = "1"\n' >Cargo.toml
fi
if [ ! -e Cargo.toml ]; then
  echo "the archive has no Cargo.toml at its top: pack the folder's content, not the folder"
  exit 1
fi
if ! cargo read-manifest >"$WEFT_BUILD_DIR/manifest" 2>"$said"; then
  sed -e "s#$WEFT_SOURCE_DIR/##g" "$said"
  exit 1
fi
name=$(sed -n 's/^{"name":"\([^"]*\)".*/\1/p' "$WEFT_BUILD_DIR/manifest")
if ! grep -Eq '"kind":\[("[a-z]*",)*"r?lib"' "$WEFT_BUILD_DIR/manifest"; then
  echo "Cargo.toml: the package has no library for Rust: an action is the public function $WEFT_ACTION_MAIN in src/lib.rs"
  exit 1
fi

# A package around it, whose program is the action. The action's own lock file is the whole's: what it does not know is added.
whole=$WEFT_BUILD_DIR/whole
mkdir -p "$whole/src"
cp "$entry" "$whole/src/main.rs"
cat >"$whole/Cargo.toml" <<END
[package]
name = "exec"
version = "0.0.0"
edition = "2021"

[dependencies]
actions = { package = "$name", path = "$WEFT_SOURCE_DIR" }
weft-action = "1"

[patch.crates-io]
weft-action = { path = "$here/weft-action" }

[profile.release]
strip = "debuginfo"

[workspace]
END
if [ -e Cargo.lock ]; then cp Cargo.lock "$whole/"; fi
if [ -d .cargo ]; then cp -R .cargo "$whole/"; fi
if [ -d vendor ]; then ln -s "$WEFT_SOURCE_DIR/vendor" "$whole/vendor"; fi

offline=
if [ -z "${HTTPS_PROXY:-}" ]; then offline=--offline; fi
if [ ! -d .cargo ]; then
  # What needs no crates but those that the image has the sources of is built with these.
  mkdir "$whole/.cargo"
  printf '[source.crates-io]\nreplace-with = "image"\n[source.image]\ndirectory = "/usr/share/cargo/registry"\n' >"$whole/.cargo/config.toml"
  if (cd "$whole" && cargo fetch --offline >"$said" 2>&1); then
    offline=--offline
  else
    rm -r "$whole/.cargo"
  fi
fi
# shellcheck disable=SC2086 # nothing, or one word
if ! (cd "$whole" && cargo build --release --quiet --message-format short $offline) >"$said" 2>&1; then
  if grep -Eq 'spurious network error|failed to download from|download of .* failed|Could not resolve|Couldn.t connect|CONNECT tunnel failed|got 5[0-9][0-9]|SSL (certificate|connect)' "$said"; then
    echo "crates could not be fetched; nothing is wrong with the source for that: $(grep -Em 1 'Unable to update|failed to download|download of|failed to get' "$said" || true) $(tail -n 1 "$said")"
    exit 69
  fi
  if [ -n "$offline" ] && [ ! -d .cargo ] && grep -q 'offline mode' "$said"; then
    echo "crates cannot be fetched here, because builds reach no registry (setting buildRegistries): $(head -n 1 "$said")"
    exit 69
  fi
  explain | sed -e '/which satisfies path dependency/d' -e "s#$WEFT_SOURCE_DIR/##g" -e "s# ($WEFT_SOURCE_DIR)##"
  exit 1
fi
cp "$CARGO_TARGET_DIR/release/exec" "$WEFT_OUTPUT_DIR/exec"
# Of some crates Debian does not know the checksum, and says so in its place: no lock that anybody else could build with.
sed '/^checksum = "[^"]*[^0-9a-f"]/d' "$whole/Cargo.lock" >"$WEFT_LOCK_FILE"
