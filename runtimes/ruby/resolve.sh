# Puts the gems of Gemfile into vendor/bundle, with Bundler: sourced by build.sh for the step "resolve".
#
# Gemfile is a program, and gems without a compiled form for this machine run one too; there is no compiler.

resolve_gems() {
  bundle=$(command -v bundle || command -v "bundle$(ruby -e 'print RUBY_VERSION[/\d+\.\d+/]')") || {
    echo "there is no Bundler here to fetch gems with: install it (gem install bundler)"
    exit 69
  }
  export BUNDLE_GEMFILE="$WEFT_SOURCE_DIR/Gemfile" BUNDLE_PATH=vendor/bundle BUNDLE_WITHOUT=development:test
  # Nothing of whom the machine belongs to, nor anything of ours in the archive.
  export BUNDLE_APP_CONFIG="$WEFT_BUILD_DIR/bundler" BUNDLE_USER_HOME="$WEFT_BUILD_DIR/bundler"
  export BUNDLE_VERSION=system BUNDLE_DISABLE_VERSION_CHECK=true BUNDLE_SILENCE_ROOT_WARNING=true BUNDLE_PLUGINS=false
  export BUNDLE_RETRY=1 BUNDLE_TIMEOUT=20 BUNDLE_JOBS=2
  if [ -e Gemfile.lock ]; then export BUNDLE_FROZEN=true; fi

  status=0
  "$bundle" install --quiet >"$WEFT_BUILD_DIR/said" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    # 17 is Bundler's for what is the network's or a server's fault, 16 for a lock that is to stay as it is.
    if [ "$status" -eq 17 ]; then printf 'packages could not be fetched; nothing is wrong with the source for that: '; fi
    if [ "$status" -eq 16 ] && [ -e Gemfile.lock ]; then printf 'Gemfile.lock does not fit Gemfile: '; fi
    # A diagnostic names the file as it is called in the archive.
    sed -e "s|$WEFT_SOURCE_DIR/||g" -e '/^[[:space:]]*$/d' "$WEFT_BUILD_DIR/said"
    if grep -q 'Failed to build gem native extension' "$WEFT_BUILD_DIR/said"; then
      echo "it has native code that has to be compiled, and there is no compiler here: take a version or a gem that comes" \
        "compiled for Linux, or bring vendor/bundle in the archive"
    fi
    if [ "$status" -eq 17 ]; then exit 69; fi
    exit 1
  fi
  [ -d vendor/bundle ] || return 0 # it lists none
  rm -rf vendor/bundle/ruby/*/cache vendor/bundle/ruby/*/build_info vendor/bundle/ruby/*/doc
  cp Gemfile.lock "$WEFT_LOCK_FILE"
  resolved=yes
}

if [ -f Gemfile ] && [ ! -d vendor/bundle ] && [ ! -d bundle ]; then resolve_gems; fi
