#!/usr/bin/env bash
# Makes kernels/ptx from kernels/*.cu, with a compiler that it installs into .cuda when it is missing,
# and reports what every kernel takes of a device.
#
#   kernels/nvcc.sh           writes kernels/ptx
#   kernels/nvcc.sh --check   writes nothing there; fails unless kernels/ptx is what comes out
#
# Fails on a warning of the compiler, on PTX that an assembler refuses and on a kernel that spills
# registers or has arrays in local memory, unless its file says why: "// spills: <kernel>: <reason>".
# Needs python3 (with venv), g++, rustc, and the Python package index for the installation (124 MB).
set -euo pipefail

fail() {
  printf 'kernels/nvcc.sh: %s\n' "$*" >&2
  exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case "${1:-}" in
  "") check=0 ;;
  --check) check=1 ;;
  *) fail "unknown argument $1; there is only --check" ;;
esac

# Every package has its version: left to itself, pip takes newer ones, and the PTX is another.
compiler=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88
  nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85)
# An assembler as old as the drivers that the lowered headers are for.
assembler=(nvidia-cuda-nvcc-cu12==12.0.140)
tools=$root/.cuda
old_ptxas=$tools/12.0/nvidia/cuda_nvcc/bin/ptxas

install_packages() { # folder, packages...
  local folder=$tools/$1
  shift
  if [ "$(cat "$folder/installed" 2>/dev/null)" = "$*" ]; then
    return
  fi
  echo "installing into $folder: $*"
  [ -x "$scratch/python/bin/pip" ] || python3 -m venv "$scratch/python" ||
    fail "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
  "$scratch/python/bin/pip" install --quiet --no-cache-dir --disable-pip-version-check --no-deps \
    --target "$scratch/packages" "$@" || fail "pip could not install $*"
  echo "$*" >"$scratch/packages/installed"
  mkdir -p "$tools"
  rm -rf "$folder"
  mv "$scratch/packages" "$folder"
}

# Fails on a kernel that spills or has a stack without a reason in its file.
check_spills() { # report of kernels/ptxas.sh
  local kernel stack spilled unexplained=0
  while read -r _ kernel _ _ _ _ _ stack _ _ _ spilled _; do
    if [ "$((stack + spilled))" -gt 0 ] && ! grep -q "^// spills: $kernel: ." "$root"/kernels/*.cu; then
      echo "$kernel: $stack bytes of stack, $spilled bytes spilled" >&2
      unexplained=1
    fi
  done <"$1"
  [ "$unexplained" = 0 ] || fail "kernels spill without a reason in their files"
}

for needed in python3 g++ rustc; do
  command -v "$needed" >/dev/null || fail "$needed is missing"
done
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
install_packages 13.0 "${compiler[@]}"
install_packages 12.0 "${assembler[@]}"

# build.rs is the one program that knows how PTX is made.
rustc --edition 2024 -o "$scratch/build" "$root/build.rs"
make_ptx() { # folder
  mkdir -p "$scratch/out" "$1"
  env -u NVCC CARGO_MANIFEST_DIR="$root" OUT_DIR="$scratch/out" CRFORMER_WRITE_PTX="$1" \
    NUM_JOBS="$(getconf _NPROCESSORS_ONLN)" "$scratch/build" >/dev/null
}
make_ptx "$scratch/ptx"

"$root/kernels/ptxas.sh" "$scratch/ptx" | tee "$scratch/report" || fail "ptxas refuses the PTX"
check_spills "$scratch/report"
for made in "$scratch"/ptx/*.ptx; do
  name=$(basename "$made" .ptx)
  ! grep -q _INTERNAL_ "$made" ||
    fail "$name has names with the folder of the source in them: no static or const variables of the device"
  case "$name" in
    *.compute_80) old_device=sm_80 ;;
    *.compute_90a) old_device=sm_90a ;;
  esac
  "$old_ptxas" --gpu-name "$old_device" --output-file /dev/null "$made" ||
    fail "$name has instructions that the .version of its header does not: see TARGETS in kernels/build/source.rs"
done

if [ "$check" = 1 ]; then
  diff --recursive --brief "$root/kernels/ptx" "$scratch/ptx" ||
    fail "kernels/ptx is not what comes out of the sources; run kernels/nvcc.sh"
  exit
fi

# Of some sources nvcc makes now this, now that, as the memory it gets lies (long rows of loads from shared
# memory did it); then no check could hold. Four times the same is taken for always.
for again in 1 2 3; do
  make_ptx "$scratch/again"
  diff --recursive --brief "$scratch/ptx" "$scratch/again" ||
    fail "nvcc does not make the same PTX of it each time: write that kernel another way"
done
mkdir -p "$root/kernels/ptx"
for old in "$root"/kernels/ptx/*.ptx; do
  [ -e "$scratch/ptx/$(basename "$old")" ] || rm -f "$old"
done
for made in "$scratch"/ptx/*.ptx; do # what is the same keeps its time, and nothing is built again for it
  [ -e "$made" ] || continue
  cmp --silent "$made" "$root/kernels/ptx/$(basename "$made")" || cp "$made" "$root/kernels/ptx/"
done
