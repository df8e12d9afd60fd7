#!/usr/bin/env bash
# Runs one fuzz target for a while: fuzz.sh GO TIME PACKAGE TARGET. Quiet unless it fails.
set -euo pipefail
go=$1 time=$2 package=$3 target=$4
start=$SECONDS
if ! out=$("$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5s -parallel 1 "$package" 2>&1); then
  printf '%s\n' "$out"
  printf 'fuzz: %s %s failed; the input is kept in %s/testdata/fuzz/%s\n' "$package" "$target" "$package" "$target" >&2
  exit 255 # xargs stops
fi
printf 'fuzz: %s %s: ok after %d s\n' "$package" "$target" $((SECONDS - start))
