#!/usr/bin/env bash
# The program, completions and manual pages as one archive to unpack anywhere: build-archive.sh BUILD OUT VERSION
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 out=$2
name=swift-lora-$3-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
Packaging/install.sh "$build" "$root/$name" "$out/man"
cp LICENSE CHANGELOG.md "$root/$name"
tar -czf "$out/$name.tar.gz" -C "$root" "$name"
ls -l "$out/$name.tar.gz"
