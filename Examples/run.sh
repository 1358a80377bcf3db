#!/usr/bin/env bash
# Builds and runs the examples in a folder outside the repository, as a guest would; what of the library the repository has
# compiled serves here too.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp -R "$checkout/Examples/Package.swift" "$checkout/Examples/Sources" "$place"
cd "$place"
export SWIFT_LORA=$checkout
build=(${SWIFT:-swift} build -c release --scratch-path "$checkout/.build" --disable-build-manifest-caching)
"${build[@]}"
for program in Sources/*; do
  name=$(basename "$program")
  echo "── $name"
  "$("${build[@]}" --show-bin-path)/$name"
done
