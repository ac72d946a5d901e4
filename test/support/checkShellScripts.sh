#!/bin/sh
# Checks the checkout's shell scripts with shellcheck, which Debian has as a package. They are found
# by their first line: most have no extension.
set -eu
if ! command -v shellcheck >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "shellcheck is not installed, so the shell scripts are not checked" >&2
    exit 0
  fi
  apt-get install -y --no-install-recommends shellcheck >/dev/null
fi
git grep --untracked -lIE '^#!.*\b(ba|da)?sh\b' | while read -r file; do
  [ "$(head -c 2 "$file")" != '#!' ] || printf '%s\0' "$file"
done | xargs -0 shellcheck
