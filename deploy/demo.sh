#!/bin/bash
# The first thing to run: installs, builds, starts a private broker on free loopback ports, inspects
# boards with the shipped detector and shows the verdicts live, here and on the dashboard.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

usage() {
    cat <<'TEXT'
usage: deploy/demo.sh [--parts N] [--pictures DIR] [--rate R] [--port P] [--web-port P]
                      [--update] [--json] [--no-install]
  --parts N       stop after N parts (default: until Ctrl-C; with --pictures: every picture once)
  --pictures DIR  inspect the pictures of a directory (NAME_test.jpg with NAME_temp.jpg and NAME.txt)
                  instead of the simulated line
  --rate R        parts per second (default 10)
  --port P        the broker's port (default: a free one)
  --web-port P    the dashboard's port (default: a free one)
  --update        while boards are inspected, a stick brings a new signed model, which is tried and
                  swapped in, and then one that must be refused (needs dosfstools and mtools)
  --json          progress on standard error, one JSON object as the last line of standard output
  --no-install    do not install Debian packages
TEXT
}

fail() {
    echo "demo.sh: $*" >&2
    exit 1
}

is_number() {
    [[ $1 =~ ^[1-9][0-9]{0,8}$ ]]
}

parts=0 pictures= rate=10 port= web_port= json=no install=yes update=no
while [ $# -gt 0 ]; do
    case $1 in
    --parts | --pictures | --rate | --port | --web-port)
        [ $# -gt 1 ] || fail "$1 needs a value"
        key=${1#--}
        printf -v "${key//-/_}" %s "$2"
        shift
        ;;
    --json) json=yes ;;
    --no-install) install=no ;;
    --update) update=yes ;;
    --help) usage; exit 0 ;;
    *) echo "demo.sh: unknown option '$1'" >&2; usage >&2; exit 2 ;;
    esac
    shift
done
[ "$parts" = 0 ] || is_number "$parts" || fail "--parts: expected a number above 0, found '$parts'"
for key in port web_port; do
    [ -z "${!key}" ] || { is_number "${!key}" && [ "${!key}" -le 65535 ]; } ||
        fail "--${key/_/-}: expected 1 to 65535, found '${!key}'"
done
[[ $rate =~ ^[0-9]{1,3}(\.[0-9]+)?$ ]] || fail "--rate: expected parts per second, found '$rate'"
[ -z "$pictures" ] || [ -d "$pictures" ] || fail "--pictures: no directory '$pictures'"

# Everything for people goes to descriptor 3, so that --json leaves standard output to the summary.
if [ "$json" = yes ]; then exec 3>&2; else exec 3>&1; fi

work=$(mktemp -d)
daemon= broker= watch= agent= readers= updater=
stop() {
    for process in $updater $watch $readers $agent $daemon $broker; do
        kill "$process" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

build() {
    local log=$work/build.log
    [ "$install" = no ] || "$here/deploy/install-packages.sh" "$here/deploy/packages.txt"
    if [ ! -f "$here/build/CMakeCache.txt" ]; then
        echo "Configuring ..." >&3
        (cd "$here" && cmake --preset release -DSIGHTLINE_TESTS=OFF) >"$log" 2>&1 || { cat "$log" >&2; fail "configuring failed"; }
    fi
    echo "Building ..." >&3
    cmake --build "$here/build" >"$log" 2>&1 || { tail -n 50 "$log" >&2; fail "the build failed"; }
}

answers() {
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# The broker package, reachable from this machine only.
start_broker() {
    local try wanted_port=$port wanted_web_port=$web_port
    for try in 1 2 3 4 5 6 7 8 9 10; do
        port=${wanted_port:-$((20000 + RANDOM % 20000))} web_port=${wanted_web_port:-$((40000 + RANDOM % 20000))}
        # Started by root, Mosquitto changes to its own user; here it may stay who it is.
        "$here/deploy/mosquitto/setup.sh" --folder "$work/broker" --camera demo --port "$port" --ws-port "$web_port" \
            --user "$(id -un)" --replace >"$work/setup.log" 2>&1 || { cat "$work/setup.log" >&2; fail "no broker"; }
        mosquitto -c "$work/broker/mosquitto.conf" >"$work/mosquitto.log" 2>&1 &
        broker=$!
        for _ in $(seq 50); do
            kill -0 "$broker" 2>/dev/null || break
            if answers "$port" && answers "$web_port"; then return; fi
            sleep 0.1
        done
        kill "$broker" 2>/dev/null || true
        [ -z "$wanted_port" ] || [ -z "$wanted_web_port" ] || break
    done
    cat "$work/mosquitto.log" >&2
    fail "the broker did not start${wanted_port:+ on port $wanted_port}"
}

password() {
    cat "$work/broker/passwords/$1"
}

write_configuration() {
    if [ -n "$pictures" ]; then
        source="type: pictures
      pictures: {directory: $(cd "$pictures" && pwd), rate: $rate, loop: false}"
    else
        source="type: line
      line: {rate: $rate, defect_rate: 0.3, blur_px: 0.5, noise: 3, light: 0.08, shift_px: 6, rotation_deg: 0.5}"
    fi
    cat >"$work/camera.yaml" <<YAML
schema: 1
broker: {host: 127.0.0.1, port: $port, username: demo, password_file: broker/passwords/demo}
cameras:
  - name: demo
    source:
      $source
    model: {path: $here/deploy/models/pcb}
    part: {mode: free-run, deadline_ms: 1000, recipe: pcb}
YAML
}

# --- model update -------------------------------------------------------------------------------

bundle() {
    (cd "$work/keys" && "$here/build/sightline-bundle" "$@") >>"$work/bundle.log" 2>&1 || { cat "$work/bundle.log" >&2; fail "sightline bundle $1"; }
}

# Keys, a first bundle in the slots, a newer one, and one that somebody changed on its way.
prepare_update() {
    local tool
    for tool in mkfs.vfat mcopy; do
        command -v "$tool" >/dev/null || fail "--update needs $tool (Debian packages dosfstools and mtools)"
    done
    mkdir -p "$work/keys" "$work/slots"
    bundle keygen root-1 root-2 release-1 release-2
    bundle rotate -o root.slr --root-key=root-1.pub --root-key=root-2.pub --release-key=release-1.pub \
        --release-key=release-2.pub --release-threshold=2 -k root-1 -k root-2
    cp -r "$here/deploy/models/pcb" "$work/new-model"
    sed -i 's/^version: .*/version: "2.0.0"/' "$work/new-model/model.yaml"
    bundle create -n 1.1 -h demo -c root.slr -o first.slb -k release-1 -k release-2 "$here/deploy/models/pcb"
    bundle create -n 1.2 -h demo -c root.slr -o new.slb --shadow=20 --probation=50 -k release-1 -k release-2 "$work/new-model"
    bundle create -n 1.3 -h demo -c root.slr -o bad.slb -k release-1 "$work/new-model"
    "$here/build/sightline-slot" provision --size 8 -r "$work/keys/root.slr" "$work/slots" "$work/keys/first.slb" >&3
    cat >"$work/ota.yaml" <<YAML
schema: 1
storage: $work/slots
control: $work/control.sock
agent: $work/agent.sock
stick: $work/stick.sock
audit: $work/audit
hardware: demo
root: $work/keys/root.slr
self_test: $here/build/sightline-selftest
YAML
}

# A stick is a file here; its reader is the one that a real stick gets.
insert_stick() {
    local image=$work/stick-$1
    truncate -s 48M "$image"
    mkfs.vfat -F 32 "$image" >/dev/null
    mmd -i "$image" ::SIGHTLINE
    mcopy -i "$image" "$work/keys/$1.slb" ::SIGHTLINE/
    chmod 644 "$image"
    "$here/build/sightline-stick" --connect "$work/stick.sock" "$image" 2>>"$work/agent.log" &
    readers+=" $!"
}

wait_for() {
    for _ in $(seq 1200); do
        if grep -q "$1" "$work/agent.log"; then return; fi
        if ! kill -0 "$daemon" 2>/dev/null; then return; fi
        sleep 0.1
    done
}

# Runs beside the inspection.
run_update() {
    trap 'kill $agent $readers 2>/dev/null' EXIT
    trap 'exit 0' TERM
    "$here/build/sightline-otad" "$work/ota.yaml" 2>"$work/agent.log" &
    agent=$!
    sleep 3
    echo "--- A stick with a new model is put in ---" >&3
    insert_stick new
    wait_for "ended: "
    echo "--- A stick with a model that one of two keys signed is put in ---" >&3
    insert_stick bad
    wait_for "refused: "
    { echo "--- What the update agent logged ---"; "$here/build/sightline-slot" audit "$work/audit"; } >&3
    kill "$agent" 2>/dev/null || true
    wait 2>/dev/null || true
}

build
PATH=$PATH:/usr/sbin
start_broker
write_configuration
cat >&3 <<TEXT
Dashboard: http://127.0.0.1:$web_port/#user=operator&password=$(password operator)
Broker on 127.0.0.1:$port (user viewer, password in $work/broker/passwords/viewer); topics below sightline/demo/
TEXT

summary=$work/summary.json
options=(--summary "$summary")
[ "$update" = no ] || { prepare_update; options+=(--control "$work/control.sock"); }
[ "$parts" = 0 ] || options+=(--parts "$parts")
"$here/build/sightlined" "$work/camera.yaml" "${options[@]}" >"$work/daemon.out" 2>"$work/daemon.log" &
daemon=$!

# Verdicts go to the terminal until the daemon is done or Ctrl-C is pressed.
trap 'kill -TERM "$daemon" 2>/dev/null || true' INT
"$here/build/sightline" watch --port "$port" --username viewer \
    --password-file "$work/broker/passwords/viewer" >&3 &
watch=$!
if [ "$update" = yes ]; then run_update & updater=$!; fi
status=0
while kill -0 "$daemon" 2>/dev/null; do
    wait "$daemon" && status=0 || status=$?
done
[ -z "$updater" ] || wait "$updater" || true
kill "$watch" 2>/dev/null || true
wait "$watch" 2>/dev/null || true
watch=

if [ ! -s "$summary" ]; then
    cat "$work/daemon.log" >&2
    fail "the daemon ended with status $status and no summary"
fi
{ echo; cat "$work/daemon.out"; } >&3
grep -v '^$' "$work/daemon.log" >&2 || true
[ "$json" = no ] || cat "$summary"
