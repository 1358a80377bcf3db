#!/usr/bin/env bash
# Lines of source by floor beside what each is meant to stay within, and how long the program takes to start: to see
# growth that nobody decided on. It fails for nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

budgets="Tensors 3000 CKernels 6000 LinearAlgebra 2500 Files 5000 Networks 2500 Training 2000 Adapters 5500 Formats 6500
  Toolbox 4000 Datasets 2500 Models 6500 FineTuning 1500 PageEngine 1000 Page 500 Charts 4500 LoRAKit 100 lora 4500"
printf '\n%-16s %8s %8s\n' floor lines budget
# shellcheck disable=SC2086
set -- $budgets
while [ $# -gt 0 ]; do
  lines=$(find "Sources/$1" \( -name '*.swift' -o -name '*.[ch]' \) -exec cat {} + | wc -l)
  printf '%-16s %8d %8d%s\n' "$1" "$lines" "$2" "$([ "$lines" -le "$2" ] || echo '  over')"
  shift 2
done
for program in .build/release/lora dist/build/lora; do
  [ ! -x $program ] || printf '\n%s: %d MB; %s\n' $program $(($(wc -c <$program) / 1000000)) \
    "$(python3 Tests/Distribution/start.py $program)"
done
