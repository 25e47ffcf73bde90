#!/bin/bash
# Fetches ONNX Runtime's library for this processor out of the npm package onnxruntime-node, for
# `sightline bench --against onnxruntime` and for accelerators that are reached through it.
set -euo pipefail

version=1.30.0
library=libonnxruntime.so.1

usage() {
    cat <<'TEXT'
usage: deploy/fetch-onnxruntime.sh [--arch x64|arm64] [DIR]
  DIR     where the library goes (default $XDG_DATA_HOME/sightline, which is
          ~/.local/share/sightline where that is not set; programs look there)
  --arch  for another processor than this one
Needs npm with a registry that it can reach. A library that is there already, of
the right version, is kept.
TEXT
}

fail() {
    echo "fetch-onnxruntime.sh: $*" >&2
    exit 1
}

dir='' arch=$(uname -m)
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --arch) arch=${2:?--arch needs x64 or arm64}; shift ;;
    -*) echo "fetch-onnxruntime.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    *)
        [ -z "$dir" ] || { echo "fetch-onnxruntime.sh: unexpected '$1'" >&2; usage >&2; exit 2; }
        dir=$1
        ;;
    esac
    shift
done
dir=${dir:-${XDG_DATA_HOME:-$HOME/.local/share}/sightline}

case $arch in
x86_64 | amd64 | x64)
    arch=x64 sum=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23 ;;
aarch64 | arm64)
    arch=arm64 sum=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76 ;;
*) fail "no library for '$arch'; there are x64 and arm64" ;;
esac

is_right() {
    [ -f "$1" ] && echo "$sum  $1" | sha256sum --check --status
}

if is_right "$dir/$library"; then
    echo "$dir/$library is ONNX Runtime $version already"
    exit 0
fi
command -v npm >/dev/null || fail "npm is not installed; the package of that name has it"
mkdir -p "$dir"
# In the same folder, so that the last step is one rename.
work=$(mktemp -d "$dir/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

(cd "$work" && npm pack --silent --ignore-scripts --fetch-retries=1 "onnxruntime-node@$version" >/dev/null) ||
    fail "npm could not fetch onnxruntime-node $version"
tar -xOzf "$work/onnxruntime-node-$version.tgz" \
    "package/bin/napi-v6/linux/$arch/$library" >"$work/$library" ||
    fail "the package holds no library for linux $arch"
is_right "$work/$library" || fail "the library is not the one that was expected ($sum)"
chmod 644 "$work/$library"
mv -f "$work/$library" "$dir/$library"
echo "$dir/$library: ONNX Runtime $version, $arch"
