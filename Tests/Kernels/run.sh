#!/usr/bin/env bash
# Builds kernels.c with the kernels and runs it for every instruction set: natively, by vectors alone, with AVX2 and
# without it under qemu-x86_64, with NEON under qemu-aarch64. What rounds one operation only must have the same bits everywhere.
#
#     Tests/Kernels/run.sh                  every instruction set
#     Tests/Kernels/run.sh SANITIZER …      natively, under each: thread, address, undefined
#
# Needs clang, which comes with Swift. What else is not installed (Debian: qemu-user, gcc-aarch64-linux-gnu) is skipped,
# and said so.
set -euo pipefail
cd "$(dirname "$0")/../.."

toolchain=$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")
clang=$toolchain/clang
[ -x "$clang" ] || clang=clang
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT

# build NAME FLAG … : without optimization some loops are not vectorised, which clang would say of each.
build() {
  local name=$1
  shift
  "$clang" -g -Wall -Wno-pass-failed "$@" -ISources/CKernels/include Tests/Kernels/kernels.c Sources/CKernels/*.c \
    -lpthread -lm -o "$built/$name"
}

digest=
# check SET COMMAND … : it succeeds, uses that set where one is named, and agrees with those before it.
check() {
  local set=$1 result
  shift
  # qemu warns of what else the processors that it is named have.
  result=$("$@" 2>"$built/warnings") || { echo "$result"; cat "$built/warnings"; return 1; }
  read -r name bits rest <<<"$result"
  echo "$name: $rest"
  [ -z "$set" ] || [ "$set" = "$name" ] || { echo "Expected the instruction set $set."; return 1; }
  [ -z "$digest" ] || [ "$digest" = "$bits" ] || { echo "Exact results differ from those before."; return 1; }
  digest=$bits
}

skip() { echo "Skipping $1: $2 is not installed."; }

for sanitizer in "$@"; do
  flags=(-O1 -fsanitize="$sanitizer" -fno-sanitize-recover=all)
  libraries=$toolchain/../lib/swift/linux  # the ThreadSanitizer of Swift's clang knows libdispatch
  if [ "$sanitizer" = thread ] && [ -d "$libraries" ]; then
    flags+=(-L"$libraries" -Wl,-rpath,"$libraries" -ldispatch -lBlocksRuntime)
  fi
  build "$sanitizer" "${flags[@]}" 2>"$built/log" || { cat "$built/log"; exit 1; }
  echo -n "$sanitizer: "
  ASAN_OPTIONS=detect_leaks=0 check '' "$built/$sanitizer"
done
[ $# -eq 0 ] || exit 0

build native -O2
check '' "$built/native"
if grep -q amx_bf16 /proc/cpuinfo 2>/dev/null; then
  echo -n 'without the matrix unit, '
  check '' "$built/native" vectors
fi

if [ "$(uname -sm)" = 'Linux x86_64' ]; then
  if command -v qemu-x86_64 >/dev/null; then
    check avx2 qemu-x86_64 -cpu Haswell "$built/native"
    check plain qemu-x86_64 -cpu qemu64 "$built/native"
  else
    skip 'AVX2 and plain x86-64' qemu-x86_64
  fi
  if ! command -v qemu-aarch64 >/dev/null; then
    skip NEON qemu-aarch64
  elif ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    skip NEON aarch64-linux-gnu-gcc
  else
    build neon -O2 --target=aarch64-linux-gnu -static
    check neon qemu-aarch64 "$built/neon"
  fi
fi
