#!/bin/bash
# Installs the Debian packages named in the given lists, those that are missing. Usage:
#   deploy/install-packages.sh LIST...
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: $0 LIST..." >&2; exit 2; }

missing=()
for package in $(cat -- "$@" | sed 's/#.*//'); do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing ${#missing[@]} packages: ${missing[*]}" >&2
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "$0: needs root to install packages. As root: apt-get install ${missing[*]}" >&2
        exit 1
    }
    as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${as_root[@]}" apt-get update >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    "${missing[@]}" >"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
