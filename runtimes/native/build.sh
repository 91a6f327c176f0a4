#!/bin/sh
# Checks a native action: what the launcher's build mode starts (runtimes/launcher/build.go says what it finds). Of scripts
# those of a shell are read, of executables the beginning.
set -eu

file=${WEFT_SOURCE_FILE:-exec}
[ -f "$file" ] || {
  echo "the archive has no file \"exec\" at its top: pack the folder's content, not the folder"
  exit 1
}

if [ "$(head -c 4 "$file" | od -An -tx1 | tr -d ' ')" = 7f454c46 ]; then
  # e_machine, whose order of bytes is that of the machines there are.
  case $(uname -m) in x86_64) ours='3e00 0300' ;; aarch64) ours='b700 2800' ;; *) exit 0 ;; esac
  theirs=$(od -An -tx1 -j 18 -N 2 "$file" | tr -d ' ')
  case " $ours " in *" $theirs "*) exit 0 ;; esac
  echo "$file is an executable of another machine: build it for $(uname -m)"
  exit 1
fi

IFS= read -r first <"$file" || true
case $first in
  '#!'*bash*) shell=bash ;;
  '#!'*/sh | '#!'*/sh' '* | '#!'*/dash* | '#!'*'env sh'*) shell=sh ;;
  '#!'*) exit 0 ;; # of a language that this does not know
  *) shell=sh ;;
esac
said=$("$shell" -n "$file" 2>&1) || {
  # "FILE: LINE: what" of dash, "FILE: line LINE: what" of bash
  printf '%s\n' "$said" | sed -E "s/^([^:]+): (line )?([0-9]+): /\1:\3: /"
  exit 1
}
