#!/bin/bash
# Installs what the tests need, builds, and runs every test: the release build, the build with
# AddressSanitizer and UndefinedBehaviorSanitizer, the threaded parts with ThreadSanitizer, a build
# with clang, accel/ cross-built for AArch64 on emulated processors, and the fuzz targets for a short
# bounded time.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat <<'TEXT'
usage: tests/run.sh [--no-install] [--quick] [--long] [--fuzz-seconds N]
  --no-install      do not install Debian packages
  --quick           the release build only
  --long            the long forms of soak and fault tests (hours)
  --fuzz-seconds N  time for each fuzz target (default 15)
Where ../shared/data is absent, tests that need it skip and say so;
SIGHTLINE_SHARED=DIR names another place.
TEXT
}

install=yes quick=no fuzz_seconds=15
while [ $# -gt 0 ]; do
    case $1 in
    --no-install) install=no ;;
    --quick) quick=yes ;;
    --long) export SIGHTLINE_LONG_TESTS=1 ;;
    --fuzz-seconds) fuzz_seconds=${2:?--fuzz-seconds needs a number}; shift ;;
    --help) usage; exit 0 ;;
    *) echo "tests/run.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Runs a preset's tests and adds them up. ctest prints one line a test, which also says "Skipped".
run_tests() {
    local preset=$1
    shift
    echo "== $preset: tests"
    ctest --test-dir "$(build_dir "$preset")" --output-on-failure --no-tests=error "$@" 2>&1 |
        tee "$log" || true
    passed=$((passed + $(grep -c ' Test *#.* Passed ' "$log" || true)))
    skipped=$((skipped + $(grep -c ' Test *#.*\*\*\*Skipped' "$log" || true)))
    failed=$((failed + $(grep -cE ' Test *#.*\*\*\*(Failed|Timeout|Exception|Not Run)' "$log" || true)))
    grep -q 'tests passed' "$log" || failed=$((failed + 1))
}

build_dir() {
    [ "$1" = release ] && echo build || echo "build-$1"
}

build() {
    local preset=$1
    shift
    echo "== $preset: build"
    cmake --preset "$preset" "$@" >"$log" 2>&1 || { cat "$log"; exit 1; }
    cmake --build --preset "$preset" >"$log" 2>&1 || { grep -vE '^\[[0-9]+/' "$log" | head -100; exit 1; }
}

[ "$install" = no ] || deploy/install-packages.sh deploy/packages.txt tests/packages.txt

# The peer that results are compared with. Without it those tests skip.
if [ -z "${SIGHTLINE_ONNXRUNTIME:-}" ]; then
    deploy/fetch-onnxruntime.sh build/onnxruntime || echo "ONNX Runtime: not there, its tests skip"
    export SIGHTLINE_ONNXRUNTIME=$PWD/build/onnxruntime/libonnxruntime.so.1
    [ -f "$SIGHTLINE_ONNXRUNTIME" ] || unset SIGHTLINE_ONNXRUNTIME
fi

build release -DSIGHTLINE_TESTS=ON -DSIGHTLINE_WERROR=ON
run_tests release
if [ "$quick" = no ]; then
    build asan
    run_tests asan
    build tsan
    run_tests tsan -L threads
    build clang
    if command -v aarch64-linux-gnu-gcc >/dev/null; then
        build aarch64
        run_tests aarch64
    else
        echo "== aarch64: skipped, there is no aarch64-linux-gnu-gcc"
        skipped=$((skipped + 1))
    fi
    build fuzz
    for target in build-fuzz/tests/fuzz/fuzz_*; do
        [ -x "$target" ] && [ -f "$target" ] || continue
        echo "== fuzz: $(basename "$target") for $fuzz_seconds s"
        if tests/fuzz/run.sh "$target" "$fuzz_seconds" >"$log" 2>&1; then
            tail -n 1 "$log"
            passed=$((passed + 1))
        else
            tail -n 60 "$log"
            failed=$((failed + 1))
        fi
    done
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
