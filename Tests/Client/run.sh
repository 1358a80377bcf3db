#!/usr/bin/env bash
# A guest of the library, built in a folder outside of it: its targets may be called Models, Training and Charts, and what
# uses tensors and networks alone needs no system library.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp -R "$checkout/Tests/Client/Package.swift" "$checkout/Tests/Client/Sources" "$place"
cd "$place"
export SWIFT_LORA=$checkout
build=(${SWIFT:-swift} build --scratch-path "$checkout/.build")

"${build[@]}" --product networks-alone
binaries=$("${build[@]}" --show-bin-path)
[ "$("$binaries/networks-alone")" = "25.0 [0.0, 0.0]" ]
if [ "$(uname)" = Darwin ]; then list="otool -L"; else list=ldd; fi
if $list "$binaries/networks-alone" | grep -E 'libpng|libopenblas|liblapack|libz\.'; then
  echo "tensors and networks alone should need none of these libraries" >&2
  exit 1
fi

"${build[@]}"
[ "$("$binaries/everything")" = "Models Training Charts Tensors CKernels CPNG TestSupport [1.0, 1.0, 1.0]" ]
echo "The client builds and runs."
