# Puts the packages of composer.json into vendor, with Composer: sourced by build.sh for the step "resolve". Nothing of a
# package runs here, scripts and plugins included: they would see the operator's keys to his registries.

resolve_packages() {
  command -v composer >/dev/null 2>&1 || {
    echo "there is no Composer here to fetch packages with: install it (https://getcomposer.org)"
    exit 69
  }
  locked=
  if [ -e composer.lock ]; then locked=yes; fi
  export COMPOSER_HOME="$WEFT_BUILD_DIR/composer" COMPOSER_CACHE_DIR=/dev/null COMPOSER_ALLOW_SUPERUSER=1
  # Wide, because long lines are broken within words.
  export COMPOSER_ROOT_VERSION=1.0.0 COMPOSER_NO_AUDIT=1 COMPOSER_PROCESS_TIMEOUT=60 COLUMNS=1000
  mkdir -p "$COMPOSER_HOME"
  # Composer has intl with it, and sandboxes do not.
  printf '{"config": {"platform": {"ext-intl": false}}}\n' >"$COMPOSER_HOME/config.json"

  status=0
  composer install --no-dev --no-scripts --no-plugins --no-interaction --no-progress --no-ansi --prefer-dist --optimize-autoloader \
    >"$WEFT_BUILD_DIR/said" 2>&1 || status=$?
  if [ -n "$locked" ] && grep -q 'lock file is not up to date' "$WEFT_BUILD_DIR/said"; then
    echo "composer.lock does not fit composer.json: run composer update, and pack both"
    exit 1
  fi
  if [ "$status" -ne 0 ]; then
    unavailable=
    if grep -qE 'curl error [0-9]+|HTTP/[0-9.]+ (5[0-9][0-9]|401|403|407|429)|required authentication|No space left' "$WEFT_BUILD_DIR/said"; then
      unavailable=yes
      printf 'packages could not be fetched; nothing is wrong with the source for that: '
    else
      printf 'composer could not resolve composer.json: '
    fi
    sed -E -e '/^[[:space:]]*$/d' -e '/^(Loading|Updating|Installing|No composer.lock|Composer plugins|Verifying|The .* plugin|install \[--|In .*:$)/d' \
      -e 's/^[[:space:]]+//; s/[[:space:]]+$//' "$WEFT_BUILD_DIR/said"
    if [ -n "$unavailable" ]; then exit 69; fi
    exit 1
  fi
  [ -e composer.lock ] || return 0
  cp composer.lock "$WEFT_LOCK_FILE"
  resolved=yes
}

# Exit code 0 when it names packages, not only what PHP itself has.
lists_packages() {
  php -r '
    $said = json_decode(file_get_contents("composer.json"), true);
    if (!is_array($said)) { echo "composer.json:1: is not JSON: ", json_last_error_msg(), "\n"; exit(2); }
    $names = array_keys((array) ($said["require"] ?? []));
    exit(array_filter($names, fn ($name) => str_contains((string) $name, "/")) === [] ? 3 : 0);
  '
}

if [ -f composer.json ] && [ ! -d vendor ]; then
  status=0
  lists_packages || status=$?
  case $status in
    0) resolve_packages ;;
    3) ;;
    *) exit 1 ;;
  esac
fi
