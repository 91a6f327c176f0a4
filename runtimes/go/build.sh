#!/bin/sh
# Builds a Go action: what the launcher's build mode starts (runtimes/launcher/build.go says what it finds). The source is a
# package main, with go.mod or without; what it needs is in its folder `vendor`, or comes from a module proxy, when the build
# reaches one: GOPROXY, GOSUMDB and GOPRIVATE of the setting buildEnv say which.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
command -v go >/dev/null 2>&1 || {
  echo "there is no Go here to build with: install Go 1.21 or newer"
  exit 69
}

export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local GOWORK=off GOENV=off GO111MODULE=on
export GOPATH="$WEFT_BUILD_DIR/path"
if [ -n "${HTTPS_PROXY:-}" ]; then
  # Without `direct`: a build reaches registries, not everybody's repository.
  export GOPROXY="${GOPROXY:-https://proxy.golang.org}" GOSUMDB="${GOSUMDB:-sum.golang.org}"
else
  export GOPROXY=off GOSUMDB=off
fi
if [ -d /usr/local/go-cache ]; then
  # The standard library, compiled when the image was made. Links, because the cache is read-only and Go adds to it.
  export GOCACHE="$WEFT_BUILD_DIR/cache"
  cp -rs /usr/local/go-cache "$GOCACHE"
else
  # On a developer's machine: his own, so that the standard library is compiled once.
  export GOCACHE="/tmp/weft-go-cache-$(id -u)"
  mkdir -p -m 0700 "$GOCACHE"
  [ -O "$GOCACHE" ] || { echo "$GOCACHE belongs to somebody else"; exit 69; }
fi

# The first letter is a capital one, as OpenWhisk has it: "main" is Main.
first=$(printf %.1s "$WEFT_ACTION_MAIN" | tr '[:lower:]' '[:upper:]')
function=$first${WEFT_ACTION_MAIN#?}
case $function in
  *[!A-Za-z0-9_]*) echo "\"$WEFT_ACTION_MAIN\" is no name of a function in Go"; exit 1 ;;
esac

if [ -e exec ] && ! ls ./*.go >/dev/null 2>&1; then
  cp -R . "$WEFT_OUTPUT_DIR" # built already
  exit 0
fi
if ! ls ./*.go >/dev/null 2>&1; then
  echo "the archive has no .go file at its top: pack the folder's content, not the folder"
  exit 1
fi
# What go.sum does not know yet is added; nothing is changed where it knows all.
if [ -e go.mod ] && [ ! -d vendor ] && [ -n "${HTTPS_PROXY:-}" ]; then export GOFLAGS="$GOFLAGS -mod=mod"; fi
[ -e go.mod ] || printf 'module action\n\ngo %s\n' "$(go env GOVERSION | sed 's/^go\([0-9]*\.[0-9]*\).*/\1/')" >go.mod
cp "$here/weft_loop.go" weft_loop.go
printf 'package main\n\nfunc main() { weftServe(%s) }\n' "$function" >weft_entry.go

# Without -trimpath, which would compile the standard library anew.
if ! go build -ldflags='-s -w' -o "$WEFT_OUTPUT_DIR/exec" . >"$WEFT_BUILD_DIR/said" 2>&1; then
  if grep -Eq 'Get "http[^"]*": |reading http[^ ]*: 5[0-9][0-9]' "$WEFT_BUILD_DIR/said"; then
    echo "modules could not be fetched; nothing is wrong with the source for that: $(grep -E -m 1 'Get "http|reading http' "$WEFT_BUILD_DIR/said")"
    exit 69
  fi
  sed -e '/^# /d' -e '/^go: downloading /d' \
    -e "s/^.*weft_entry\.go:.*undefined: $function\$/the source has no function $function in its package main/" \
    -e "s/^.*weft_entry\.go:[0-9:]* \(.*\) does not satisfy weftAction.*\$/$function has a signature that no action has: func(map[string]any) map[string]any, if you like with a context.Context before and an error after/" \
    "$WEFT_BUILD_DIR/said"
  exit 1
fi
if [ -e go.sum ]; then cp go.sum "$WEFT_LOCK_FILE"; fi
