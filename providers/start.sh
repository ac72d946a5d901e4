#!/bin/sh
# Starts the provider plugin $1 with the engine's address $2. A bundle starts in half the time that
# transpiling each file takes, and every Pulumi command waits for it; it is made again when a source
# or an installed package is newer. Whatever the working directory, it stays the program's: build
# contexts are relative to it.
set -eu
providers=$(dirname "$(readlink -f "$0")")
checkout=$providers/..
bundle=$providers/dist/$1.js

if [ ! -e "$bundle" ] || [ -n "$(find "$providers" "$checkout/haproxy" "$checkout/docker" "$checkout/config" "$checkout/configurator" \
  "$checkout/node_modules/.package-lock.json" -newer "$bundle" -type f ! -path "$providers/dist/*" |
  head -n 1)" ]; then
  # Renamed when whole: two commands may start at the same time.
  "$checkout/node_modules/.bin/esbuild" "$providers/$1/main.ts" --bundle --platform=node \
    --target=node20 --external:dockerode --log-level=error --outfile="$bundle.$$"
  mv "$bundle.$$" "$bundle"
fi
exec node "$bundle" "$2"
