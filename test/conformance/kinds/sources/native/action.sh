#!/bin/bash
# What an action of this kind can be asked to do. ../../README.md says what each act is. No more than bash and coreutils,
# because the process driver has no more.

params=$(cat)
text_of() { [[ $params =~ \"$1\":\"(([^\"\\]|\\.)*)\" ]] && printf %s "${BASH_REMATCH[1]}"; }
number_of() { [[ $params =~ \"$1\":([0-9]+) ]] && printf %s "${BASH_REMATCH[1]}"; }

quoted() { # as JSON
  local text=$1
  text=${text//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  printf '"%s"' "$text"
}

fails() {
  echo "$0: line $LINENO: no luck" >&2 # @throw
  exit 1
}

environment() {
  local name separator=
  printf '{"env":{'
  for name in $(compgen -e); do
    printf '%s%s:%s' "$separator" "$(quoted "$name")" "$(quoted "${!name}")"
    separator=,
  done
  printf '},"params":%s}\n' "$params"
}

look() {
  local file=false left=null key=null
  [ ! -e "$left_file" ] || file=true
  [ -z "${LEFT_BEHIND:-}" ] || left=$(quoted "$LEFT_BEHIND")
  [ -z "${__OW_API_KEY:-}" ] || key=$(quoted "$__OW_API_KEY")
  printf '{"leftBehind":%s,"file":%s,"activationId":"%s","apiKey":%s}\n' "$left" "$file" "$__OW_ACTIVATION_ID" "$key"
}

reversed() {
  local hex
  hex=$(text_of base64 | base64 -d | od -An -v -tx1 -w1 | tac | tr -d ' \n')
  printf "$(sed 's/../\\x&/g' <<<"$hex")" | base64 -w0
}

left_file=${TMPDIR:-/tmp}/left-behind
case $(text_of act) in
  echo) echo "$params" ;;
  throw) fails ;;
  text) echo '"text"' ;;
  nothing) ;;
  array) echo '[1,"two",{"three":3}]' ;;
  exit)
    echo "last words"
    exit "$(number_of code)"
    ;;
  hang)
    echo "still here"
    trap '' TERM
    while :; do sleep 1; done
    ;;
  eat)
    echo "hungry"
    exec tail /dev/zero
    ;;
  shell)
    command=$(text_of command)
    stderr=$(sh -c "${command//\\\"/\"}" 2>&1 >/dev/null)
    printf '{"code":%d,"stderr":%s}\n' $? "$(quoted "$stderr")"
    ;;
  print)
    yes "$(text_of line)" | head -n "$(number_of lines)"
    echo '{}'
    ;;
  streams)
    echo "out 1"
    echo "err 1" >&2
    echo "out 2"
    echo "err 2" >&2
    printf "out 3\n{}"
    ;;
  bytes)
    printf 'A\xff\xfeB\n'
    printf '{"base64":"%s"}\n' "$(reversed)"
    ;;
  environment) environment ;;
  wait)
    ms=$(number_of ms)
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
    echo "{\"waited\":$ms}"
    ;;
  until-cancelled)
    trap 'echo "{\"cancelled\":true}"; exit' TERM
    echo "waiting"
    while :; do
      sleep 10 &
      wait
    done
    ;;
  remaining) echo "{\"remainingMs\":$WEFT_REMAINING_MS}" ;;
  fill)
    printf '{"x":"'
    head -c "$(number_of chars)" /dev/zero | tr '\0' x
    printf '"}\n'
    ;;
  leave)
    export LEFT_BEHIND=yes
    printf left >"$left_file"
    echo "left"
    echo '{}'
    ;;
  look) look ;;
  late)
    (
      sleep 0.2
      echo "late"
    ) &
    echo '{}'
    ;;
esac
