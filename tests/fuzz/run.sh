#!/bin/sh
# Runs one fuzz target for a bounded time, from its seeds where there are any:
#     tests/fuzz/run.sh build-fuzz/tests/fuzz/fuzz_jpeg [SECONDS]
# What it finds lands beside the target as crash-…, timeout-… or oom-….
set -eu
target=${1:?usage: tests/fuzz/run.sh TARGET [SECONDS]}
seconds=${2:-15}
here=$(cd "$(dirname "$0")" && pwd)
shared=${SIGHTLINE_SHARED:-$here/../../../shared}

case $(basename "$target") in
    fuzz_jpeg) seeds=$shared/data/jpeg-corpus ;;
    *) seeds=$here/seeds/$(basename "$target") ;;
esac
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
set -- "$corpus"
if [ -d "$seeds" ]; then
    set -- "$@" "$seeds"
else
    echo "no seeds in $seeds: starting from nothing"
fi
"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$(dirname "$target")/" "$@"
