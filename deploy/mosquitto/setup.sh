#!/bin/bash
# Writes a broker's configuration, access list and accounts into one folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    cat <<'TEXT'
usage: setup.sh --folder DIR [options]
  --folder DIR         where everything is written; 'mosquitto -c DIR/mosquitto.conf' runs it
  --camera NAME        an account for a camera on this machine; may be repeated
  --port P             MQTT with password on 127.0.0.1 (default 1883)
  --ws-port P          dashboard and WebSocket (default 9001)
  --ws-address A       IPv4 address for them (default 127.0.0.1; another one needs --certificates)
  --dashboard FILE     the page (default: the one beside this script, ../dashboard/dashboard.html)
  --certificates DIR   ca.crt, broker.crt and broker.key (see certificates.sh): turns TLS on
  --tls-port P         MQTT with client certificates (default 8883)
  --tls-address A      address for it (default 0.0.0.0)
  --plant HOST:PORT    pass everything on to the plant's broker, kept here while that one is away;
                       needs --certificates with NAME.crt and NAME.key for --line NAME
  --line NAME          this line's name at the plant's broker: its topics are below sightline/NAME
  --state DIR          where the broker keeps its messages (default DIR/state of --folder)
  --user ACCOUNT       Unix account of the broker (default: mosquitto for root, else your own)
  --replace            write the configuration anew; accounts stay
Accounts: viewer (reads), operator (and triggers, gives feedback), engineer (and every command),
home (Home Assistant, Node-RED), seeder (gives out model updates), scada (a Sparkplug host), and the cameras. Passwords are made up and are in DIR/passwords/.
TEXT
}

fail() {
    echo "setup.sh: $*" >&2
    exit 1
}

wrong_usage() {
    echo "setup.sh: $*" >&2
    usage >&2
    exit 2
}

is_port() {
    [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$1" -le 65535 ]
}

is_name() {
    [[ $1 =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]]
}

folder='' port=1883 ws_port=9001 ws_address=127.0.0.1 certificates='' tls_port=8883 tls_address=0.0.0.0
plant='' line='' state='' user='' replace=no cameras=() dashboard=$here/../dashboard/dashboard.html
while [ $# -gt 0 ]; do
    case $1 in
    --folder | --port | --ws-port | --ws-address | --dashboard | --certificates | --tls-port | --tls-address | --plant | \
        --line | --state | --user | --camera)
        [ $# -gt 1 ] || wrong_usage "$1 needs a value"
        key=${1#--} key=${key//-/_}
        if [ "$key" = camera ]; then cameras+=("$2"); else printf -v "$key" %s "$2"; fi
        shift
        ;;
    --replace) replace=yes ;;
    --help) usage; exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
    esac
    shift
done

[ -n "$folder" ] || wrong_usage "--folder is missing"
for key in port ws_port tls_port; do
    is_port "${!key}" || wrong_usage "--${key/_/-}: expected 1 to 65535, found '${!key}'"
done
for camera in "${cameras[@]}"; do
    is_name "$camera" || wrong_usage "--camera: expected a-z, 0-9 and -, found '$camera'"
done
[[ $ws_address =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || wrong_usage "--ws-address: expected an IPv4 address, found '$ws_address'"
[[ $tls_address =~ ^[A-Za-z0-9.:-]+$ ]] || wrong_usage "--tls-address: expected an address, found '$tls_address'"
[ -z "$plant" ] || [[ $plant =~ ^[A-Za-z0-9.-]+:[0-9]{1,5}$ ]] || wrong_usage "--plant: expected HOST:PORT, found '$plant'"
[ -z "$plant" ] || is_name "$line" || wrong_usage "--line: expected a-z, 0-9 and -, found '$line'"
[ -z "$plant" ] || [ -n "$certificates" ] || wrong_usage "--plant needs --certificates"
[[ $ws_address = 127.* ]] || [ -n "$certificates" ] ||
    wrong_usage "--ws-address $ws_address: passwords would cross the network in the clear; give --certificates"
if [ -z "$user" ]; then
    user=$(id -un)
    [ "$user" != root ] || ! id mosquitto >/dev/null 2>&1 || user=mosquitto
fi
PATH=$PATH:/usr/sbin
command -v mosquitto_passwd >/dev/null || fail "no mosquitto_passwd: install the package mosquitto"

umask 077
mkdir -p "$folder/passwords" "$folder/conf.d" "$folder/page"
folder=$(cd "$folder" && pwd)
[[ $folder =~ ^[A-Za-z0-9/._-]+$ ]] || fail "--folder: expected a path of letters, digits and / . _ -, found '$folder'"
[ "$replace" = yes ] || [ ! -e "$folder/mosquitto.conf" ] ||
    fail "$folder/mosquitto.conf: there is one already (--replace writes it anew)"
state=${state:-$folder/state}
mkdir -p "$state"
state=$(cd "$state" && pwd)

# Adds the accounts that are missing; the passwords never stand on a command line.
make_accounts() {
    local account
    touch "$folder/users"
    : >"$folder/.users.new"
    for account in viewer operator engineer home seeder scada "${cameras[@]}"; do
        if ! grep -q "^$account:" "$folder/users"; then
            [ -s "$folder/passwords/$account" ] || head -c 18 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' >"$folder/passwords/$account"
            printf '%s:%s\n' "$account" "$(cat "$folder/passwords/$account")" >>"$folder/.users.new"
        fi
    done
    if [ -s "$folder/.users.new" ]; then
        mosquitto_passwd -U "$folder/.users.new"
        cat "$folder/.users.new" >>"$folder/users"
    fi
    rm -f "$folder/.users.new"
}

copy_certificates() {
    local file
    mkdir -p "$folder/tls"
    for file in ca.crt broker.crt broker.key ${line:+"$line.crt" "$line.key"}; do
        [ -r "$certificates/$file" ] || fail "$certificates/$file: expected a file that can be read"
        [ "$certificates/$file" -ef "$folder/tls/$file" ] || cp "$certificates/$file" "$folder/tls/$file"
    done
}

tls_part() {
    cat <<TEXT
# Cameras and bridges from elsewhere: a certificate of the plant's authority; its common name is the
# user name.
listener $tls_port $tls_address
cafile $folder/tls/ca.crt
certfile $folder/tls/broker.crt
keyfile $folder/tls/broker.key
require_certificate true
use_identity_as_username true
tls_version tlsv1.2
max_connections 256
TEXT
}

# Files that are read beside mosquitto.conf.
write_bridge() {
    rm -f "$folder/conf.d/bridge.conf"
    [ -n "$plant" ] || return 0
    sed -e "s|@PLANT@|$plant|g" -e "s|@LINE@|$line|g" -e "s|@FOLDER@|$folder|g" "$here/bridge.conf.in" \
        >"$folder/conf.d/bridge.conf"
}

write_configuration() {
    local ws_tls='' http='' tls=''
    if [ -f "$dashboard" ]; then
        cp "$dashboard" "$folder/page/index.html"
        http="http_dir $folder/page"
    fi
    if [ -n "$certificates" ]; then
        tls=$(tls_part)
        [[ $ws_address = 127.* ]] || ws_tls="certfile $folder/tls/broker.crt
keyfile $folder/tls/broker.key
tls_version tlsv1.2"
    fi
    local text
    text=$(<"$here/mosquitto.conf.in")
    text=${text//@FOLDER@/$folder} text=${text//@STATE@/$state} text=${text//@USER@/$user}
    text=${text//@PORT@/$port} text=${text//@WS_PORT@/$ws_port} text=${text//@WS_ADDRESS@/$ws_address}
    text=${text//@WS_DOMAIN@/ipv4} text=${text//@LOG@/stderr}
    text=${text//@WS_TLS@/$ws_tls} text=${text//@HTTP@/$http} text=${text//@TLS@/$tls}
    printf '%s\n' "$text" >"$folder/mosquitto.conf.new"
    mv -f "$folder/mosquitto.conf.new" "$folder/mosquitto.conf"
    cp "$here/acl.in" "$folder/acl"
}

make_accounts
[ -z "$certificates" ] || copy_certificates
write_bridge
write_configuration
[ "$(id -u)" -ne 0 ] || chown -R "$user" "$folder" "$state"
echo "mosquitto -c $folder/mosquitto.conf"
