#!/usr/bin/env bash
# Makes sure that what the package builds on is here: a Swift toolchain, OpenBLAS, zlib, and libpng,
# libjpeg-turbo and libwebp for pictures.
# Installs the libraries with apt-get (as root or through sudo) or brew; elsewhere says what is missing.
# With --python: that Python can make virtual environments. With --dist: what `make dist` links in besides, on Linux. With
# --mpi: Open MPI, unless there is an MPI.
set -euo pipefail

swift=${SWIFT:-swift}
if ! command -v "$swift" >/dev/null; then
  echo "No Swift toolchain: install Swift 6.1 or newer from https://www.swift.org/install and put it on the PATH." >&2
  exit 1
fi

install_debian() {
  if [ "$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else return 1; fi
  echo "Installing $*" >&2
  # The lists may be old or not there yet.
  $sudo apt-get install -y "$@" >/dev/null 2>&1 || { $sudo apt-get update >/dev/null && $sudo apt-get install -y "$@" >/dev/null; }
}

# For the notebooks: Python, with what makes virtual environments.
if [ "${1:-}" = --python ]; then
  python=${PYTHON:-python3}
  "$python" -c 'import ensurepip, venv' 2>/dev/null && exit 0
  command -v apt-get >/dev/null && install_debian python3 python3-venv && exit 0
  echo "Notebooks need Python 3.10 or newer with its venv module: install it and run this again." >&2
  exit 1
fi

# LAPACK's own routines, which are small, and the runtime of its Fortran.
if [ "${1:-}" = --dist ]; then
  for archive in lapack/liblapack.a blas/libblas.a libgfortran.a; do
    [ -f "$(gcc -print-file-name=$archive)" ] && continue
    command -v apt-get >/dev/null && install_debian gcc gfortran liblapack-dev libblas-dev && exit 0
    echo "Missing: $archive. Install gfortran and the development files of LAPACK and BLAS, and run this again." >&2
    exit 1
  done
  exit 0
fi

if [ "${1:-}" = --mpi ]; then
  pkg-config --exists "${LORA_MPI:-mpi-c}" 2>/dev/null && command -v mpirun >/dev/null && exit 0
  command -v apt-get >/dev/null && install_debian openmpi-bin libopenmpi-dev && exit 0
  command -v brew >/dev/null && exec brew install open-mpi
  echo "Missing: ${LORA_MPI:-mpi-c} of pkg-config, or mpirun. Install Open MPI or MPICH with its development files; LORA_MPI" >&2
  echo "names its package where pkg-config calls it otherwise (ompi-c, mpich), and PKG_CONFIG_PATH says where it is." >&2
  exit 1
fi

missing() {
  if ! command -v pkg-config >/dev/null; then
    echo pkg-config
  fi
  for library in "$@"; do
    pkg-config --exists "$library" 2>/dev/null || echo "$library"
  done
}

if [ "$(uname)" = Darwin ]; then
  # Linear algebra is Accelerate's there.
  needed=$(missing zlib libpng libturbojpeg libwebp)
else
  needed=$(missing openblas zlib libpng libturbojpeg libwebp)
fi
[ -z "$needed" ] && exit 0

if [ "$(uname)" = Darwin ] && command -v brew >/dev/null; then
  exec brew install pkg-config zlib libpng jpeg-turbo webp
fi
if command -v apt-get >/dev/null && install_debian pkg-config libopenblas-dev zlib1g-dev libpng-dev libturbojpeg0-dev libwebp-dev; then
  exit 0
fi
echo "Missing: $(echo $needed | tr '\n' ' ')" >&2
echo "Install the development files of OpenBLAS, zlib, libpng, libjpeg-turbo and libwebp, and pkg-config, and run this again." >&2
exit 1
