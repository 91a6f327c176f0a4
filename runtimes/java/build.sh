#!/bin/sh
# Compiles a java action, or looks at its jar: what the launcher's build mode starts (runtimes/launcher/build.go says what it
# finds). What is loaded is the classes, and all that lay beside the sources.
set -eu

java -XX:SharedArchiveFile=/weft/runtime/loop.jsa -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData \
  -cp /weft/runtime/loop.jar weft.Build
if [ "$WEFT_BUILD_STEP" = compile ]; then
  find . -name '*.java' -delete
  find . -mindepth 1 -maxdepth 1 -exec mv {} "$WEFT_OUTPUT_DIR" \;
fi
