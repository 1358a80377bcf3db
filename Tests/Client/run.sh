#!/usr/bin/env bash
# A guest of the library, built in a folder outside of it: its targets may be called Models, Training and Charts, what
# uses tensors and networks alone needs no system library, and what README, the first article and the notebook show
# compiles as a guest's main.swift, whose variables belong to the main actor.
set -euo pipefail
checkout=$(cd "$(dirname "$0")/../.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp -R "$checkout/Tests/Client/Package.swift" "$checkout/Tests/Client/Sources" "$place"

# The blocks of code of a page, from the first that the pattern matches on.
code() { awk -v from="$2" '/^```/ { inside = /^```swift/; next } inside && $0 ~ from { begun = 1 } inside && begun' "$1"; }
shown() { mkdir -p "$place/Sources/Shown/$1" && cat > "$place/Sources/Shown/$1/main.swift"; }
(
  printf 'import LoRAKit\nlet layer = Linear(weight: Parameter(.ones([2, 2])), bias: nil)\n'
  code "$checkout/README.md" '^import LoRAKit'
) | shown readme
(
  printf 'import Foundation\nimport LoRAKit\nlet folder = URL(fileURLWithPath: "nine")\n'
  code "$checkout/Sources/LoRAKit/LoRAKit.docc/FirstAdapter.md" .
) | shown article
(
  printf 'import LoRAKit\nvar generator = SeededGenerator(seed: 0)\n'
  sed -n '/^    "final class LowRankUpdate/,/^    "}"/p' "$checkout/Notebooks/lora_from_scratch.ipynb" |
    sed -E 's/^    "//; s/(\\n",|")$//'
) | shown notebook
grep -q 'func value' "$place/Sources/Shown/notebook/main.swift"  # the class was found whole
cd "$place"
export SWIFT_LORA=$checkout
build=(${SWIFT:-swift} build --scratch-path "$checkout/.build" --disable-build-manifest-caching)

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
