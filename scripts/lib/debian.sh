#!/usr/bin/env bash
# Brings Debian packages: installed as root, else unpacked into .cache/debian. Starts no service.
set -euo pipefail

command -v apt-get >/dev/null || { echo "no apt-get on this machine" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive

install_as_root() {
    local policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d
    mkdir -p "$clusters"
    echo "create_main_cluster = false" >"$clusters/parley.conf"
    trap "rm -f $clusters/parley.conf" EXIT
    if [ ! -e "$policy" ]; then
        install -m 755 /dev/stdin "$policy" <<<$'#!/bin/sh\nexit 101'
        trap "rm -f $clusters/parley.conf $policy" EXIT
    fi
    apt-get update -qq || echo "package lists not refreshed" >&2
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

unpack_as_user() {
    local cache=$PWD/.cache/apt
    mkdir -p "$cache/lists/partial" "$cache/archives/partial" .cache/debian
    local apt=(apt-get -qq -o Debug::NoLocking=true -o Dir::State::lists="$cache/lists" -o Dir::Cache="$cache")
    "${apt[@]}" update
    # --reinstall also brings a package whose other half is on the machine already.
    "${apt[@]}" install -y --no-install-recommends --download-only --reinstall "$@"
    for package in "$cache"/archives/*.deb; do dpkg -x "$package" .cache/debian; done
}

if [ "$(id -u)" = 0 ]; then install_as_root "$@"; else unpack_as_user "$@"; fi
