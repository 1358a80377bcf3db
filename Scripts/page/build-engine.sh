#!/usr/bin/env bash
# Compiles the live page's engine, Sources/PageEngine, to WebAssembly: Scripts/page/build-engine.sh OUTPUT
#
# The same source and compiler give the same bytes; the last of them name the compiler, in a section of their own.
# Exit code 2: this toolchain can't build for the web.
set -euo pipefail
output=$(realpath -m "$1")
cd "$(dirname "$0")/../.."
tools=$(dirname "$(readlink -f "$(command -v "${SWIFTC:-swiftc}")")")
if [[ ! -d $tools/../lib/swift/embedded/wasm32-unknown-none-wasm || ! -x $tools/wasm-ld ]]; then
  echo "this Swift toolchain has no Embedded Swift for WebAssembly" >&2
  exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp Sources/Tensors/SeededGenerator.swift Sources/PageEngine/*.swift Scripts/page/runtime.c "$work"
# Within the folder, by relative names and without debug information, so that no path gets into the bytes.
(
  cd "$work"
  "$tools/clang" --target=wasm32 -O3 -msimd128 -mbulk-memory -fno-builtin -c runtime.c -o runtime.o
  "$tools/swiftc" -target wasm32-unknown-none-wasm -enable-experimental-feature Embedded -swift-version 6 -wmo -O \
    -package-name swift-lora -module-name PageEngine -parse-as-library -Xcc -msimd128 -Xcc -mbulk-memory \
    -c ./*.swift -o engine.o
  "$tools/wasm-ld" --no-entry --export-memory --strip-all -z stack-size=1048576 engine.o runtime.o -o engine.wasm
)
# A custom section: 0, its length, the length of its name, its name, its content.
version=$("$tools/swiftc" --version 2>/dev/null | head -n 1)
name=compiler
printf "\\0\\$(printf %o $((1 + ${#name} + ${#version})))\\$(printf %o ${#name})%s%s" "$name" "$version" >> "$work/engine.wasm"
cp "$work/engine.wasm" "$output"
