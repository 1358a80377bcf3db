#!/usr/bin/env bash
# Times the library and the program `lora`; where the Python in PYTHON has what a part is compared with, that too, in the
# same run. Benchmarks/README.md says what each part measures.
#
#     Benchmarks/run.sh [--shortest] [PART …]         digits networks svd toolbox transformers generation quantized kernels texts; default: all
#
# --shortest runs each program, studies too, once in its smallest size: checks that they work, and measures nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
swift=${SWIFT:-swift}
parts='digits networks svd toolbox transformers generation quantized kernels texts'
if [ "${1:-}" = --shortest ]; then
  export SHORTEST=1
  parts+=' recipes'
  shift
fi

# Prints the path of a program, after it was built, in the folder of `make build`: what that has compiled serves here too
# (but not its plan of what to build).
program() {
  if [ "$1" = lora ]; then package=.; else package=Benchmarks; fi
  "$swift" build -c release --package-path $package --scratch-path .build --disable-build-manifest-caching \
    --product "$1" >&2 && echo ".build/release/$1"
}

# Whether Python has these modules; else says that the peers are skipped.
has_peers() {
  local missing
  missing=$("$python" -c '
import importlib.util, sys
print(*(name for name in sys.argv[1:] if not importlib.util.find_spec(name)))' "$@" 2>/dev/null) || missing=$*
  [ -z "$missing" ] || echo "Skipping the peers: $python has no $missing."
  [ -z "$missing" ]
}

# A library that is told to run another processor's kernels would be no fair peer.
peer() { env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE "$python" "$@"; }

digits() {
  bench=$(program digits-bench)
  if has_peers torch peft numpy; then peer Benchmarks/compare.py "$bench" digits_peers.py Sources/Datasets/Resources; else "$bench"; fi
}

networks() {
  bench=$(program network-bench)
  if has_peers torch; then peer Benchmarks/compare.py "$bench" network_peers.py; else "$bench"; fi
}

svd() {
  bench=$(program svd-bench)
  if has_peers numpy torch; then "$bench" --python "$python"; else "$bench"; fi
}

toolbox() {
  if ! has_peers torch peft transformers safetensors; then return; fi
  lora=$(program lora)
  peer Benchmarks/toolbox/bench.py "$lora"
}

transformers() {
  if ! has_peers torch peft transformers tokenizers; then return; fi
  lora=$(program lora)
  peer Benchmarks/transformers/compare.py "$lora" ${SHORTEST:+--shape llama-15m-8x256 --steps 2 --rounds 1}
}

generation() {
  lora=$(program lora)
  bench=$(program generation-bench)
  local peers=()
  if has_peers xllamacpp; then peers+=(--llama "$python"); fi
  if has_peers torch transformers; then peers+=(--python "$python"); fi
  "$bench" --lora "$lora" ${peers[@]+"${peers[@]}"}
}

quantized() {
  if ! has_peers gguf numpy; then return; fi
  lora=$(program lora)
  peer Benchmarks/quantized/bench.py "$lora"
}

kernels() {
  bench=$(program kernel-bench)
  "$bench"
}

texts() {
  bench=$(program text-bench)
  lora=$(program lora)
  peer Benchmarks/texts/bench.py "$bench" "$lora"
}

recipes() {
  bench=$(program digit-recipes)
  "$bench"
}

for part in ${*:-$parts}; do
  case $part in
    digits | networks | svd | toolbox | transformers | generation | quantized | kernels | texts | recipes) ;;
    *) echo "There is no part '$part'." >&2; exit 64 ;;
  esac
done
for part in ${*:-$parts}; do
  echo
  echo "== $part"
  $part
done
