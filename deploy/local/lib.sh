# What install, env, status, stop and images share. Sourced, never run.
#
# Two places hold state. The services file belongs to one clone of the repository (or to WEFT_STATE_DIR) and says how
# to reach the services; everything else belongs to the machine, because etcd, Postgres and dockerd run once per machine
# however many clones use them.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STATE_DIR=${WEFT_STATE_DIR:-$REPO/.weft}
SERVICES_FILE=$STATE_DIR/services.env
MACHINE_DIR=${WEFT_MACHINE_DIR:-/var/lib/weft}
RUN_DIR=$MACHINE_DIR/run
LOG_DIR=$MACHINE_DIR/log
CACHE_DIR=${WEFT_CACHE_DIR:-/var/cache/weft}

ETCD_CLIENT=127.0.0.1:2379
ETCD_PEER=127.0.0.1:2380

# Daemons live in sbin, which is not on everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -- "$@"; fi
}

# Runs in / because the user may not be allowed into the caller's directory, and psql says so each time.
as_user() {
  local user=$1
  shift
  if [ "$(id -u)" -eq 0 ]; then (cd / && runuser -u "$user" -- "$@"); else (cd / && sudo -u "$user" -- "$@"); fi
}

has_systemd() { [ -d /run/systemd/system ]; }

seconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'; }

# ---- kinds ----
# One row per kind: the Debian that its base stands on when it is made here, what makes the language of that Debian, the
# public image that is its base otherwise (`-`: that Debian there too), and the command that says its version. `apt:` names
# packages of that Debian; `npm:` a package's version and the program in it, ARCH being the machine's as npm calls it.
kinds() {
  cat <<'END'
nodejs:20    12  npm:node-linux-ARCH@20.20.2:bin/node  node:20-slim      node -v
nodejs:22    12  npm:node-linux-ARCH@22.23.3:bin/node  node:22-slim      node -v
nodejs:24    12  npm:node-linux-ARCH@24.21.0:bin/node  node:24-slim      node -v
python:3.11  12  apt:python3                           python:3.11-slim  python3 --version
python:3.13  13  apt:python3                           python:3.13-slim  python3 --version
ruby:3.3     13  apt:ruby                              -                 ruby --version
php:8.4      13  apt:php-cli,php-bcmath,php-curl,php-mbstring,php-mysql,php-pgsql,php-xml,php-zip  -  php --version
deno:2       12  npm:@deno/linux-ARCH-glibc@2.9.6:deno -                 deno --version
bun:1        12  npm:@oven/bun-linux-ARCH@1.4.5:bin/bun  -               bun --version
java:21      13  apt:openjdk-21-jdk-headless,libgoogle-gson-java  -                 java --version
native:1      12  apt:jq,curl                           -                 jq --version
END
}

# What a kind's build image has beside its language where that is made here, to resolve dependencies with. Public images bring
# it, Ruby, Deno and Bun have their own, and those kinds are built where they run.
builders() {
  cat <<'END'
nodejs  npm:npm@11.19.1
python  apt:python3-pip
php     apt:composer
END
}

# ---- stages ----
# A stage is a function whose output goes to a log file; what it found is left in DETAIL. What fails inside one says so
# with fail; a command that fails unforeseen ends the script, and the end of the log is shown.

STAGE=
STAGE_LOG=
DETAIL=

begin_stages() {
  STAGE_LOG=$(mktemp -t "weft-$1.XXXXXX.log")
  exec 3>&2
  trap end_stages EXIT
}

stage() {
  STAGE=$1
  DETAIL=
  local from=$EPOCHREALTIME
  shift
  printf -- '--- %s\n' "$STAGE" >>"$STAGE_LOG"
  "$@" >>"$STAGE_LOG" 2>&1
  printf '\u2713 %-16s %-58s %6s s\n' "$STAGE" "$DETAIL" "$(seconds_since "$from")"
  STAGE=
}

# fail WHAT FIX [LOG]
fail() {
  {
    printf '\u2717 %s: %s\n' "${STAGE:-weft}" "$1"
    if [ -n "${3:-}" ] && [ -r "$3" ]; then
      printf '  the end of %s:\n' "$3"
      tail -n 8 "$3" | sed 's/^/    /'
    fi
    printf '  fix: %s\n' "$2"
  } >&3
  STAGE=
  exit 1
}

end_stages() {
  local code=$?
  if [ "$code" -ne 0 ] && [ -n "$STAGE" ]; then
    printf '\u2717 %s: a command failed with exit code %s; the end of its output:\n' "$STAGE" "$code" >&3
    tail -n 15 "$STAGE_LOG" | sed 's/^/    /' >&3
    printf '  all of it: %s\n' "$STAGE_LOG" >&3
  elif [ "$code" -eq 0 ]; then
    rm -f "$STAGE_LOG"
  fi
}

# wait_until SECONDS COMMAND...
wait_until() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

need_root() {
  [ "$(id -u)" -eq 0 ] && return
  have sudo || fail "this needs root, and there is no sudo" "run it as root: su -c 'deploy/local/$1'"
  sudo -v 2>&3 || fail "sudo was refused" "run it as root, or as somebody whom sudo lets"
}

# lock_machine NAME: one at a time on a machine. Daemons are started with descriptor 9 closed, or they would keep the lock.
lock_machine() {
  local file=$RUN_DIR/$1.lock
  as_root install -d -m 0755 "$MACHINE_DIR" "$RUN_DIR" "$LOG_DIR" "$CACHE_DIR"
  [ -e "$file" ] || as_root install -m 0644 /dev/null "$file"
  exec 9<"$file"
  flock -w 600 9 || fail "somebody else has held $file for ten minutes" "see who: fuser $file"
}

# ---- the services file ----

# service_value NAME: its value, or nothing
service_value() {
  [ -r "$SERVICES_FILE" ] || return 0
  sed -n "s/^$1=//p" "$SERVICES_FILE" | tail -n 1
}

# ---- markers: what install started, so that stop stops that and nothing else ----

mark_started() { as_root tee "$RUN_DIR/$1.started" >/dev/null <<<"$2"; }
started_by_us() { [ -e "$RUN_DIR/$1.started" ]; }
started_how() { cat "$RUN_DIR/$1.started"; }
unmark_started() { as_root rm -f "$RUN_DIR/$1.started" "$RUN_DIR/$1.pid"; }

# start_daemon NAME LOG COMMAND...: in a session of its own, with no descriptor and little environment of ours
start_daemon() {
  local name=$1 log=$2 variable
  shift 2
  local env=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root)
  for variable in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy TMPDIR; do
    [ -z "${!variable:-}" ] || env+=("$variable=${!variable}")
  done
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_root env -i "${env[@]}" sh -c '
    log=$1 pid=$2
    shift 2
    setsid nohup "$@" </dev/null >>"$log" 2>&1 3>&- 9>&- &
    echo $! >"$pid"
  ' sh "$log" "$RUN_DIR/$name.pid" "$@"
}

daemon_pid() { cat "$RUN_DIR/$1.pid" 2>/dev/null || true; }
alive() { [ -n "$1" ] && [ -d "/proc/$1" ]; }

# ---- etcd ----

# HTTP over bash, because curl is not everywhere.
etcd_get() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout 2 bash -c '
    exec 7<>"/dev/tcp/${1%:*}/${1##*:}"
    printf "GET %s HTTP/1.0\r\nHost: etcd\r\n\r\n" "$2" >&7
    cat <&7
  ' bash "$ETCD_CLIENT" "$1" 2>/dev/null
}
etcd_answers() { etcd_get /health | grep -q '"health"[: ]*"true"'; }
etcd_version() { etcd_get /version | sed -n 's/.*"etcdserver":"\([^"]*\)".*/\1/p'; }
port_taken() { timeout 1 bash -c "exec 7<>/dev/tcp/${1%:*}/${1##*:}" 2>/dev/null; }

# ---- Postgres ----

# The newest cluster called main: "version port status"
postgres_cluster() {
  have pg_lsclusters || return 0
  pg_lsclusters -h | awk '$2 == "main" { print $1, $3, $4 }' | sort -V | tail -n 1
}
postgres_sql() { # PORT DATABASE, the statements on standard input, because arguments are seen by everybody
  as_user postgres psql -X -q -A -t -v ON_ERROR_STOP=1 -p "$1" -d "$2"
}
postgres_password_works() { # PASSWORD PORT
  [ -n "$1" ] && PGPASSWORD=$1 PGCONNECT_TIMEOUT=5 psql -X -q -A -t -h 127.0.0.1 -p "$2" -U weft -d "${3:-weft}" -c 'select 1' </dev/null >/dev/null 2>&1
}

# ---- Docker ----

docker_host() {
  local host=${WEFT_DOCKER_HOST:-${DOCKER_HOST:-}}
  echo "${host:-unix:///var/run/docker.sock}"
}
# As ourselves where that is allowed, else as root.
docker_cli() {
  local host
  host=$(docker_host)
  if [ "${host#unix://}" != "$host" ] && [ ! -w "${host#unix://}" ]; then
    as_root docker -H "$host" "$@"
  else
    docker -H "$host" "$@"
  fi
}
docker_answers() { have docker && docker_cli info >/dev/null 2>&1; }
