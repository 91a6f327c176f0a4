# Puts the packages of requirements.txt into the folder packages: sourced by build.sh for the step "resolve". The program says
# nothing and does nothing where nothing is to be done, and leaves a lock where something was.
python3 -I -B "$here/resolve.py"
if [ -e "$WEFT_LOCK_FILE" ]; then resolved=yes; fi
