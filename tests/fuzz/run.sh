#!/bin/sh
# Runs one fuzz target for a bounded time, from its seeds where there are any:
#     tests/fuzz/run.sh build-fuzz/tests/fuzz/fuzz_jpeg [SECONDS]
# What it finds lands beside the target as crash-…, timeout-… or oom-….
set -eu
target=${1:?usage: tests/fuzz/run.sh TARGET [SECONDS]}
seconds=${2:-15}
here=$(cd "$(dirname "$0")" && pwd)
shared=${SIGHTLINE_SHARED:-$here/../../../shared}

corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
mkdir "$corpus/found" "$corpus/seeds"
case $(basename "$target") in
    fuzz_jpeg) folder=$shared/data/jpeg-corpus pattern='*' ;;
    fuzz_onnx) folder=/usr/share/libonnx-testdata/data/node pattern=model.onnx ;;
    fuzz_yaml) folder=$here/../../deploy/models pattern='*.yaml' ;;
    fuzz_volume)
        folder=$corpus/sticks pattern='*'
        /usr/bin/python3 "$here/../ota/usb_seeds.py" "$folder" >/dev/null
        ;;
    fuzz_bundle)
        folder=$corpus/bundles pattern='*'
        "$(dirname "$target")/../ota/bundle_read" --seeds "$folder"
        ;;
    *) folder=$here/seeds/$(basename "$target") pattern='*' ;;
esac
if [ -d "$folder" ]; then
    find "$folder" -name "$pattern" -type f -size -64k | head -n 2000 |
        awk -v to="$corpus/seeds" '{ print "cp '\''" $0 "'\'' '\''" to "/" NR "'\''" }' | sh
else
    echo "no seeds in $folder: starting from nothing"
fi
"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$(dirname "$target")/" "$corpus/found" "$corpus/seeds"
