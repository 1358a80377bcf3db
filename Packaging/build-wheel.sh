#!/usr/bin/env bash
# The wheel with the program in it: build-wheel.sh BUILD OUT, where BUILD is what build-dist.sh left.
#
# Its tag names the oldest C library that the program's symbols allow; auditwheel, which knows the policies, must agree.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(cd "$1" && pwd) out=$2

tools=.build/dist/venv
[ -x $tools/bin/pip ] || "${PYTHON:-python3}" -m venv $tools
pip=(env PIP_DISABLE_PIP_VERSION_CHECK=1 "$tools/bin/pip" --quiet)

if [ "$(uname)" = Darwin ]; then
  platform=macosx_14_0_$(uname -m)
else
  glibc=$(objdump -T "$build/lora" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
  platform=manylinux_${glibc#GLIBC_}
  platform=${platform//./_}_$(uname -m)
fi

mkdir -p "$out"
rm -f "$out"/swift_lora-*.whl
LORA_BUILD=$build LORA_PLATFORM=$platform "${pip[@]}" wheel --no-deps --wheel-dir "$out" Packaging/wheel
if [ "$(uname)" != Darwin ]; then
  "${pip[@]}" install auditwheel
  audit=$($tools/bin/auditwheel show "$out"/swift_lora-*.whl)
  grep -q "\"$platform\"" <<<"$audit" || { echo "$audit" >&2; exit 1; }
  echo "auditwheel: $platform"
fi
ls -l "$out"/swift_lora-*.whl
