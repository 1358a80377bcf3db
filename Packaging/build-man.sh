#!/usr/bin/env bash
# build-man.sh LORA OUT: a manual page for the program LORA and one for each of its commands, in the folder OUT, by the
# tool of swift-argument-parser. The tool alone is built: its plugin would build the program once more.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=.build/man-tool
for parser in .build/dist/checkouts/swift-argument-parser .build/checkouts/swift-argument-parser; do
  [ ! -d $parser ] || break
done
"${SWIFT:-swift}" build --package-path "$parser" --scratch-path "$scratch" --product generate-manual
rm -rf "$2"
mkdir -p "$2"
"$scratch/debug/generate-manual" "$1" --multi-page --output-directory "$2"
