#!/bin/bash
# The plant's own certificate authority, and the certificates of brokers and cameras.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: certificates.sh ca     --folder DIR [--name TEXT] [--days N]
       certificates.sh broker --folder DIR --host NAME|ADDRESS [--host …] [--days N] [--renew]
       certificates.sh client --folder DIR --name NAME [--days N] [--renew]
       certificates.sh list   --folder DIR
  ca      makes DIR/ca.key and DIR/ca.crt (default 3650 days). Whoever has ca.key can make a camera
          of his own: keep the folder on one machine that is not on the line, and copy only what
          each machine needs: ca.crt, and its own .crt and .key.
  broker  makes DIR/broker.key and DIR/broker.crt for the names that clients connect to (825 days)
  client  makes DIR/NAME.key and DIR/NAME.crt; NAME is the user name that the broker's access list
          sees, so it is the camera's name or, with several cameras, the last level of broker.root
  list    prints every certificate with the day it expires; exit status 1 if one does within 30 days
  --renew replaces key and certificate; without it nothing is ever overwritten
TEXT
}

fail() {
    echo "certificates.sh: $*" >&2
    exit 1
}

wrong_usage() {
    echo "certificates.sh: $*" >&2
    usage >&2
    exit 2
}

is_name() {
    [[ $1 =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]]
}

action=${1:-}
[ $# -eq 0 ] || shift
folder='' name='' days='' renew=no hosts=()
case $action in
--help) usage; exit 0 ;;
ca | broker | client | list) ;;
*) wrong_usage "expected ca, broker, client or list, found '$action'" ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
    --folder | --name | --days | --host)
        [ $# -gt 1 ] || wrong_usage "$1 needs a value"
        if [ "$1" = --host ]; then hosts+=("$2"); else printf -v "${1#--}" %s "$2"; fi
        shift
        ;;
    --renew) renew=yes ;;
    --help) usage; exit 0 ;;
    *) wrong_usage "unknown option '$1'" ;;
    esac
    shift
done
[ -n "$folder" ] || wrong_usage "--folder is missing"
[ -z "$days" ] || [[ $days =~ ^[1-9][0-9]{0,4}$ ]] || wrong_usage "--days: expected 1 to 99999, found '$days'"

umask 077
mkdir -p "$folder"
new=$(mktemp -d "$folder/.new-XXXXXX")
trap 'rm -rf "$new"' EXIT

expiry() {
    openssl x509 -in "$1" -noout -enddate | cut -d= -f2
}

# Puts the pair NAME.key, NAME.crt in its place: whole, and never over another unless asked to.
settle() {
    local base=$folder/$1
    if [ "$renew" = no ]; then
        ln "$new/key" "$base.key" 2>/dev/null || fail "$base.key: there is one already"
        ln "$new/crt" "$base.crt" 2>/dev/null || fail "$base.crt: there is one already"
    else
        mv -f "$new/key" "$base.key"
        mv -f "$new/crt" "$base.crt"
    fi
    chmod 0644 "$base.crt"
    echo "$base.crt: expires $(expiry "$base.crt")"
}

refuse_to_overwrite() {
    local file
    [ "$renew" = no ] || return 0
    for file in "$folder/$1.key" "$folder/$1.crt"; do
        [ ! -e "$file" ] || fail "$file: there is one already (--renew replaces it)"
    done
}

make_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$new/key" 2>/dev/null
}

# The authority alone decides what a certificate says: nothing is taken from a request.
sign() {
    local subject=$1 extensions=$2
    [ -f "$folder/ca.key" ] && [ -f "$folder/ca.crt" ] || fail "$folder: no ca.key and ca.crt; make them with 'ca' first"
    make_key
    printf '%s\n' "$extensions" basicConstraints=critical,CA:FALSE subjectKeyIdentifier=hash \
        authorityKeyIdentifier=keyid >"$new/extensions"
    openssl req -new -key "$new/key" -subj "/CN=$subject" -out "$new/request" 2>/dev/null
    openssl x509 -req -in "$new/request" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -sha256 \
        -set_serial "0x$(openssl rand -hex 16 | sed 's/^./1/')" -days "${days:-825}" \
        -extfile "$new/extensions" -out "$new/crt" 2>"$new/log" || { cat "$new/log" >&2; fail "signing failed"; }
}

make_ca() {
    [ "$renew" = no ] || wrong_usage "a new authority needs a new folder: it makes every certificate worthless"
    [[ ${name:=Sightline plant CA} =~ ^[A-Za-z0-9._\ -]{1,60}$ ]] ||
        wrong_usage "--name: expected at most 60 letters, digits, spaces and . _ -, found '$name'"
    refuse_to_overwrite ca
    make_key
    openssl req -x509 -new -key "$new/key" -sha256 -days "${days:-3650}" -subj "/CN=$name" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
        -addext keyUsage=critical,keyCertSign,cRLSign -out "$new/crt" 2>"$new/log" ||
        { cat "$new/log" >&2; fail "making the authority failed"; }
    settle ca
}

make_broker() {
    local host names=''
    [ ${#hosts[@]} -gt 0 ] || wrong_usage "--host is missing"
    for host in "${hosts[@]}"; do
        if [[ $host =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ || $host =~ ^[0-9a-fA-F:]*:[0-9a-fA-F:]+$ ]]; then
            names+=,IP:$host
        elif [[ $host =~ ^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$ ]]; then
            names+=,DNS:$host
        else
            wrong_usage "--host: expected a name or an address, found '$host'"
        fi
    done
    refuse_to_overwrite broker
    sign "${hosts[0]:0:64}" "subjectAltName=${names#,}
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth"
    settle broker
}

make_client() {
    is_name "$name" || wrong_usage "--name: expected at most 63 of a-z, 0-9 and -, found '$name'"
    [[ $name != ca && $name != broker ]] || wrong_usage "--name: '$name' is taken"
    refuse_to_overwrite "$name"
    sign "$name" "keyUsage=critical,digitalSignature
extendedKeyUsage=clientAuth"
    settle "$name"
}

list() {
    local file status=0
    for file in "$folder"/*.crt; do
        [ -f "$file" ] || fail "$folder: no certificates"
        echo "$file: expires $(expiry "$file")"
        openssl x509 -in "$file" -noout -checkend $((30 * 86400)) >/dev/null || status=1
    done
    return $status
}

case $action in
ca) make_ca ;;
broker) make_broker ;;
client) make_client ;;
list) list ;;
esac
