#!/bin/bash
prepare() {
  echo "$0: line $LINENO: no luck" >&2 # @here
  exit 1
}
prepare
