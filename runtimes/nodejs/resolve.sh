# Puts the packages of package.json into node_modules: sourced by build.sh for the step "resolve". The program says nothing
# and does nothing where nothing is to be done, and leaves a lock where something was.
node "$here/resolve.cjs"
if [ -e "$WEFT_LOCK_FILE" ]; then resolved=yes; fi
