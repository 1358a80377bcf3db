#!/usr/bin/env bash
# The package for Debian and Ubuntu: build-deb.sh BUILD OUT VERSION, where BUILD is what build-dist.sh left.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1 out=$2 version=$3

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
Packaging/install.sh "$build" "$root/usr" "$out/man"
mkdir -p "$root/DEBIAN" "$root/usr/share/doc/swift-lora"
install -m 644 LICENSE "$root/usr/share/doc/swift-lora/copyright"
gzip -9nc CHANGELOG.md >"$root/usr/share/doc/swift-lora/changelog.gz"

glibc=$(objdump -T "$build/lora" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
architecture=$(dpkg --print-architecture)
cat >"$root/DEBIAN/control" <<CONTROL
Package: swift-lora
Version: $version
Architecture: $architecture
Maintainer: The swift-lora authors <swift-lora@localhost>
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Depends: libc6 (>= ${glibc#GLIBC_})
Recommends: curl
Section: science
Priority: optional
Description: Low-rank adaptation of neural networks
 Inspects, checks, merges, extracts, resizes, combines, converts and trains
 LoRA adapters of Hugging Face PEFT, mlx-lm, kohya and others, on the CPU.
CONTROL
dpkg-deb --build --root-owner-group "$root" "$out/swift-lora_${version}_$architecture.deb"
ls -l "$out"/swift-lora_*.deb
