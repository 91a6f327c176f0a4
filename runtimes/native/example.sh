#!/bin/bash
# An action in a shell: weft action create hello example.sh --kind native:default
# The arguments are the last argument, as JSON, and stand on standard input too. The last line of output is the result.
name=$(jq -r '.name // "stranger"' <<<"$1")
echo "greeting $name in activation ${__OW_ACTIVATION_ID:-of nobody}"
jq -nc --arg name "$name" '{greeting: "Hello, \($name)!"}'
