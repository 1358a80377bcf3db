#!/usr/bin/env bash
# Builds and runs the examples in a folder outside the repository, as a guest would.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp -R "$checkout/Examples/Package.swift" "$checkout/Examples/Sources" "$place"
cd "$place"
export SWIFT_LORA=$checkout
${SWIFT:-swift} build -c release
for program in Sources/*; do
  name=$(basename "$program")
  echo "── $name"
  "$(${SWIFT:-swift} build -c release --show-bin-path)/$name"
done
