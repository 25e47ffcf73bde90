#!/bin/bash
# Prepares where a camera keeps its models: five partitions on a disk or an image, or five files.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: provision.sh [options] DISK           a block device, or an image (a regular file)
       provision.sh [options] --folder DIR   files, for development
  --slot-size MIB     size of each of the three slots (default 256)
  --append            DISK holds other partitions: leave them, use the free space behind them
  --erase             DISK holds other data: it goes
  --dry-run           say what would be done
  --device-key FILE   make the camera's own key, if there is none yet; FILE.pub is for
                      'sightline bundle create --encrypt-for'
  --root FILE --bundle FILE
                      write the first bundle too (with --folder, or a DISK that is a device)
Partitions: sl-state-0, sl-model-a, sl-model-b, sl-state-1, sl-golden, found by these labels. What is
prepared already is left as it is. Exit status: 0 prepared, 1 refused or failed, 2 usage.
TEXT
}

fail() {
    echo "provision.sh: $*" >&2
    exit 1
}

wrong_usage() {
    echo "provision.sh: $*" >&2
    usage >&2
    exit 2
}

labels=(sl-state-0 sl-model-a sl-model-b sl-state-1 sl-golden)
state_mib=4 # a state area needs 64 KiB; a whole erase block of its own is better
align_mib=4

disk='' folder='' slot_size=256 append=no erase=no dry_run=no device_key='' root='' bundle=''
while [ $# -gt 0 ]; do
    case $1 in
    --folder | --slot-size | --device-key | --root | --bundle)
        [ $# -gt 1 ] || wrong_usage "$1 needs a value"
        key=${1#--} key=${key//-/_}
        printf -v "$key" %s "$2"
        shift
        ;;
    --append) append=yes ;;
    --erase) erase=yes ;;
    --dry-run) dry_run=yes ;;
    --help) usage; exit 0 ;;
    -*) wrong_usage "unknown option '$1'" ;;
    *) [ -z "$disk" ] || wrong_usage "'$1': one disk at a time"; disk=$1 ;;
    esac
    shift
done
[[ $slot_size =~ ^[1-9][0-9]{0,3}$ ]] && [ "$slot_size" -le 2100 ] ||
    wrong_usage "--slot-size: expected 1 to 2100 MiB, found '$slot_size'"
[ -n "$disk" ] || [ -n "$folder" ] || wrong_usage "expected a disk, or --folder"
[ -z "$disk" ] || [ -z "$folder" ] || wrong_usage "a disk or --folder, not both"
[ "$append" = no ] || [ "$erase" = no ] || wrong_usage "--append or --erase, not both"
[ -n "$root" ] && [ -z "$bundle" ] && wrong_usage "--root needs --bundle"
[ -z "$root" ] && [ -n "$bundle" ] && wrong_usage "--bundle needs --root"
[ -z "$bundle" ] || [ -z "$disk" ] || [ -b "$disk" ] ||
    wrong_usage "--bundle: an image has no partitions to write to; attach it with losetup --partscan first"
sightline=${SIGHTLINE:-sightline}

size_of() {
    case $1 in sl-state-*) echo $state_mib ;; *) echo "$slot_size" ;; esac
}

# Label (- if none) and size in MiB of each partition there is, a line each.
partitions() {
    sfdisk --dump "$disk" 2>/dev/null | sed -nE 's/.* : start= *[0-9]+, size= *([0-9]+).*/\1 &/p' |
        sed -E 's/^([0-9]+) .*name="([^"]*)".*/\2 \1/; t; s/^([0-9]+) .*/- \1/' |
        awk '{ printf "%s %d\n", $1, $2 / 2048 }' || true
}

# 0: all five are there and large enough; 1: none is; else it says why neither.
prepared() {
    local found=0 label size line
    while read -r label size; do
        for line in "${labels[@]}"; do
            [ "$label" = "$line" ] || continue
            found=$((found + 1))
            [ "$size" -ge "$(size_of "$label")" ] ||
                fail "$disk: $label has $size MiB; expected at least $(size_of "$label")"
        done
    done < <(partitions)
    [ $found -eq 0 ] && return 1
    [ $found -eq ${#labels[@]} ] || fail "$disk: $found of the ${#labels[@]} partitions are there; expected all or none"
}

# Whether anything is on it: a table, a file system, or octets that are not zero at its ends.
is_empty() {
    local end
    [ -z "$(wipefs --no-act --parsable --noheadings "$disk" 2>/dev/null)" ] || return 1
    end=$(($(disk_octets) - 1048576))
    cmp -s -n 1048576 "$disk" /dev/zero && cmp -s -n 1048576 -i "$end:0" "$disk" /dev/zero
}

disk_octets() {
    if [ -b "$disk" ]; then blockdev --getsize64 "$disk"; else stat -c %s "$disk"; fi
}

table() {
    local label
    [ "$append" = yes ] || echo "label: gpt"
    for label in "${labels[@]}"; do
        echo "size=$(size_of "$label")MiB, name=$label"
    done
}

prepare_disk() {
    local needed
    command -v sfdisk >/dev/null || fail "sfdisk is missing (package fdisk)"
    [ -b "$disk" ] || [ -f "$disk" ] || fail "$disk: expected a block device or an image"
    [ -w "$disk" ] || fail "$disk: cannot be written"
    if prepared; then
        echo "$disk: prepared already; nothing was changed"
        return
    fi
    needed=$((2 * state_mib + 3 * slot_size + 2 * align_mib))
    [ "$(disk_octets)" -ge $((needed << 20)) ] ||
        fail "$disk: $(($(disk_octets) >> 20)) MiB; expected at least $needed"
    [ $append = yes ] || [ $erase = yes ] || is_empty ||
        fail "$disk: holds other data; --append leaves it and uses free space, --erase removes it"
    [ $append = no ] || [ -n "$(partitions)" ] || fail "$disk: --append: no partitions here"
    if [ $dry_run = yes ]; then
        table
        return
    fi
    # A table of what is there, should this be the wrong disk.
    sfdisk --dump "$disk" >"${TMPDIR:-/tmp}/provision-$(basename "$disk").before" 2>/dev/null || true
    local options=(--quiet --lock)
    if [ $append = yes ]; then options+=(--append); else options+=(--wipe always --wipe-partitions always); fi
    table | sfdisk "${options[@]}" "$disk" >/dev/null || fail "$disk: sfdisk did not do it; is it in use?"
    sync "$disk"
    if [ -b "$disk" ] && command -v udevadm >/dev/null; then udevadm settle || true; fi
    prepared || fail "$disk: the partitions are not there afterwards"
    echo "$disk: ${labels[*]}"
}

make_device_key() {
    [ -n "$device_key" ] || return 0
    if [ -e "$device_key" ]; then
        echo "$device_key: there already"
    elif [ $dry_run = no ]; then
        "$sightline" bundle keygen "$device_key"
        echo "$device_key: made; $device_key.pub is its public half"
    fi
}

first_bundle() {
    [ -n "$bundle" ] && [ $dry_run = no ] || return 0
    local status=0 options=(--size="$slot_size" --root="$root")
    [ -z "$device_key" ] || options+=(--device-key="$device_key")
    "$sightline" slot status "$folder" >/dev/null 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        echo "$folder: a bundle serves already"
    else
        "$sightline" slot provision "${options[@]}" "$folder" "$bundle"
        echo "$folder: $(basename "$bundle") is in slot A and in the golden slot"
    fi
}

if [ -n "$disk" ]; then
    prepare_disk
    folder=/dev/disk/by-partlabel
elif [ $dry_run = no ]; then
    mkdir -p "$folder"
fi
make_device_key
first_bundle
if [ -z "$bundle" ] && [ -z "$disk" ]; then
    echo "$folder: files are made with the first bundle (--root, --bundle)"
fi
