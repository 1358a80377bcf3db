#!/usr/bin/env bash
# The program for machines on which nothing is installed: build-dist.sh FOLDER
#
# Leaves FOLDER/lora and the folder of its digits. Swift's runtime, LAPACK, zlib, libpng, libjpeg-turbo and libwebp are
# linked in: the program wants the C library alone, of the version that this machine has or a little older. macOS has
# Swift and Accelerate itself; there only the libraries for files are linked in.
set -euo pipefail
cd "$(dirname "$0")/.."

swift=${SWIFT:-swift}
out=$1
scratch=.build/dist
static=$PWD/$scratch/static
mkdir -p "$out" "$static"

# SwiftPM asks pkg-config where the libraries are: in a folder that has the archives and not the shared ones.
package() { # NAME ARCHIVE...
  local name=$1 libraries=
  shift
  for archive in "$@"; do
    ln -sf "$(find_archive "$archive")" "$static/lib$archive.a"
    libraries="$libraries -l$archive"
  done
  printf 'Name: %s\nDescription: the archive alone\nVersion: 0\nLibs: -L%s%s\nCflags: %s\n' \
    "$name" "$static" "$libraries" "$(pkg-config --cflags "$name" 2>/dev/null || true)" >"$static/$name.pc"
}

if [ "$(uname)" = Darwin ]; then
  find_archive() { ls "$(brew --prefix)"/lib/lib"$1".a "$(brew --prefix)"/opt/*/lib/lib"$1".a 2>/dev/null | head -1; }
  options=()
else
  find_archive() {
    local file
    # LAPACK's own before what else calls itself that.
    for file in "$1/lib$1.a" "lib$1.a"; do
      file=$(gcc -print-file-name="$file")
      if [ -f "$file" ]; then realpath "$file" && return; fi
    done
    echo "lib$1.a is not installed: Scripts/install-dependencies.sh --dist installs what is needed" >&2
    return 1
  }
  # Fortran's runtime wants quadmath where there is one: not on arm64.
  quadmath=$([ ! -f "$(gcc -print-file-name=libquadmath.a)" ] || echo quadmath)
  package openblas lapack blas gfortran $quadmath
  ln -sf "$(find_archive stdc++)" "$static/libstdc++.a"
  runtime=$(dirname "$(realpath "$(command -v "$swift")")")/../lib/swift_static/linux
  [ -d "$runtime" ] || runtime=$(dirname "$(realpath "$(command -v swiftc)")")/../lib/swift_static/linux
  # Copies in which our members take the places of theirs.
  python3 Packaging/static/trim-icu.py "$runtime/lib_FoundationICU.a" "$static/lib_FoundationICU.a"
  cc -O2 -ISources/CKernels/include -c Packaging/static/blas.c -o "$static/sgemm.o"
  cp --remove-destination "$(find_archive blas)" "$static/libblas.a"
  ar r "$static/libblas.a" "$static/sgemm.o"
  # A section a function, so that what is never called is left out. At a fixed address: 90,000 places that hold one would
  # be listed, to be set at every start.
  options=(
    --static-swift-stdlib -Xswiftc -Xfrontend -Xswiftc -function-sections -Xcc -ffunction-sections -Xswiftc -use-ld=lld
    -Xlinker "-L$static" -Xlinker "--remap-inputs=*/lib_FoundationICU.a=$static/lib_FoundationICU.a" -Xlinker --icf=safe
    -Xlinker --no-export-dynamic -Xlinker --strip-all -Xswiftc -Xclang-linker -Xswiftc -static-libgcc -Xlinker -O2
    -Xswiftc -Xclang-linker -Xswiftc -no-pie -Xlinker -T -Xlinker "$PWD/Packaging/static/no-unwinding.ld"
    -Xlinker --no-eh-frame-hdr)
fi
package zlib z
package libpng png16 z
package libwebp webp
package libturbojpeg turbojpeg
ln -sf libpng16.a "$static/libpng.a"
if [ "$(uname)" != Darwin ]; then
  cc -O2 -c Packaging/static/jpeg.c -o "$static/jpeg.o"
  cp --remove-destination "$(find_archive turbojpeg)" "$static/libturbojpeg.a"
  ar d "$static/libturbojpeg.a" jcapistd.c.o jctrans.c.o
  ar r "$static/libturbojpeg.a" "$static/jpeg.o"
fi

export PKG_CONFIG_PATH=$static${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
"$swift" build -c release --product lora --scratch-path "$scratch" ${options[@]+"${options[@]}"}

rm -rf "$out"/swift-lora_*.resources "$out"/swift-lora_*.bundle
cp -R "$scratch"/release/lora "$scratch"/release/swift-lora_*.[rb]* "$out"
[ "$(uname)" != Darwin ] || strip "$out/lora"
ls -l "$out/lora"
