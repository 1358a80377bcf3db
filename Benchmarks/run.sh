#!/usr/bin/env bash
# Times the library and the tool; with a Python that has the peers (torch, peft, transformers, scikit-learn) in PYTHON,
# the peers too, in the same run. Benchmarks/README.md says what each part measures.
#
#   Benchmarks/run.sh [digits] [svd] [toolbox] [transformers] [generation] [kernels]       default: all
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
swift=${SWIFT:-swift}
parts=${*:-digits svd toolbox transformers generation kernels}
# A library that is told to run another processor's kernels would be no fair peer.
peer() { env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE "$python" "$@"; }
has_peers=no
if "$python" -c 'import torch, peft, transformers, sklearn' 2>/dev/null; then has_peers=yes; fi
[ $has_peers = yes ] || echo "No torch, peft, transformers and scikit-learn in $python: our figures alone. Set PYTHON." >&2

"$swift" build -c release --product lora
"$swift" build -c release --package-path Benchmarks
programs=Benchmarks/.build/release

for part in $parts; do
  echo
  echo "== $part"
  case $part in
    digits)
      if [ $has_peers = yes ]; then peer Benchmarks/digits_compare.py $programs/digits-bench; else $programs/digits-bench; fi ;;
    svd) if [ $has_peers = yes ]; then $programs/svd-bench --python "$python"; else $programs/svd-bench; fi ;;
    toolbox) if [ $has_peers = yes ]; then peer Benchmarks/toolbox/bench.py .build/release/lora; else echo "needs peers"; fi ;;
    transformers)
      if [ $has_peers = yes ]; then peer Benchmarks/transformers/compare.py .build/release/lora; else echo "needs peers"; fi ;;
    generation)
      if [ $has_peers = yes ]; then
        $programs/generation-bench --lora .build/release/lora --python "$python"
      else
        $programs/generation-bench --lora .build/release/lora
      fi ;;
    kernels) $programs/kernel-bench ;;
    *) echo "There is no part '$part'." >&2; exit 64 ;;
  esac
done
