#!/usr/bin/env bash
# The fresh-install check of what `make dist` left: run.sh FOLDER
#
# The wheel in an empty virtual environment, from pip to a first result. The program, alone and from the .deb, in a
# Debian 12 in which nothing is installed (as root, where debootstrap is). What is left out is said.
set -euo pipefail
cd "$(dirname "$0")/../.."
dist=$(cd "$1" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f s", b - a }'; }

# An adapter, a base and a merge of the two, by the program $@.
try() { # FOLDER PROGRAM...
  local folder=$1
  shift
  "$@" --version
  "$@" digits --epochs 1 --steps 5 --arms lora --save "$folder" --quiet >/dev/null
  "$@" inspect "$folder/adapter" --quiet | sed -n 1,3p
  "$@" merge "$folder/base.safetensors" "$folder/adapter" -o "$folder/merged.safetensors" --quiet >/dev/null
  "$@" inspect "$folder/merged.safetensors" --values >/dev/null
}

echo "── the wheel in an empty virtual environment"
"${PYTHON:-python3}" -m venv "$scratch/venv"
start=$(now)
PIP_DISABLE_PIP_VERSION_CHECK=1 "$scratch/venv/bin/pip" --quiet install --no-index "$dist"/swift_lora-*.whl
"$scratch/venv/bin/swift-lora" --version
echo "from pip install to the first answer: $(since "$start")"
try "$scratch/digits" env -i "$scratch/venv/bin/lora"
env -i "$scratch/venv/bin/python" Tests/Distribution/module.py "$scratch/digits"

lora=$scratch/venv/bin/lora
echo "── size and start"
size=$(wc -c <"$lora")
printf 'program %s MB (budget 30), wheel %s MB (25)\n' \
  "$(awk -v bytes="$size" 'BEGIN { printf "%.1f", bytes / 1e6 }')" \
  "$(($(cat "$dist"/swift_lora-*.whl | wc -c) / 1000000))"
[ "$(uname)" = Darwin ] || [ "$size" -lt 30000000 ] || { echo "FAILED: the program is too large" >&2 && exit 1; }
python3 Tests/Distribution/start.py "$lora"
ldd "$lora" 2>/dev/null || true

if ls "$dist"/*.deb >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null; then
    echo "── the program alone, then the .deb, in a bare Debian 12"
    root=.build/dist/bookworm
    [ -f $root/ready ] || { rm -rf $root && debootstrap --variant=minbase bookworm $root >"$scratch/log" && touch $root/ready; }
    rm -rf $root/opt/lora $root/root/digits $root/root/again
    cp -R "$dist/build" $root/opt/lora
    # Swift takes a program's arguments from /proc.
    inside() {
      unshare --mount bash -c 'mount -t proc proc "$0/proc" && exec chroot "$0" /usr/bin/env -i HOME=/root "$@"' \
        $root PATH=/usr/bin:/bin:/usr/sbin:/sbin "$@"
    }
    try /root/digits inside /opt/lora/lora
    cp "$dist"/*.deb $root/tmp/lora.deb
    inside dpkg --install /tmp/lora.deb
    try /root/again inside lora
    inside dpkg --listfiles swift-lora | grep -E 'man1/lora|completions/lora'
    inside dpkg --purge swift-lora
  else
    echo "skipped: the check in a bare Debian 12 wants root and debootstrap"
  fi
fi
echo "the fresh-install check passed"
