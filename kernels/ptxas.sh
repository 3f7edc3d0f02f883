#!/usr/bin/env bash
# What every kernel takes of a device, one line each, by the pinned ptxas that kernels/nvcc.sh installs into .cuda:
#
#   kernels/ptxas.sh FOLDER   every FOLDER/*.compute_80.ptx for sm_80 and sm_90a, every *.compute_90a.ptx for sm_90a
#
#   sm_80    linear_forward_bf16      119 registers  33792 bytes shared      0 bytes of stack      0 bytes spilled
#
# Shared memory is what a kernel declares; a launch may add to it. Exits with 3 where there is no ptxas, with 1 if it
# refuses something.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ptxas=$root/.cuda/13.0/nvidia/cu13/bin/ptxas
folder=${1:?the folder with the PTX is missing}
if [ ! -x "$ptxas" ]; then
  echo "there is no ptxas in .cuda; kernels/nvcc.sh installs it" >&2
  exit 3
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

assemble() { # device, file of PTX
  "$ptxas" --verbose --gpu-name "$1" --output-file /dev/null "$2" >"$scratch/said" 2>&1 || {
    cat "$scratch/said" >&2
    echo "ptxas refuses ${2##*/} for $1" >&2
    exit 1
  }
  awk -v device="$1" '
    /Compiling entry function/ { split($0, quoted, "\x27"); kernel = quoted[2] }
    /bytes spill stores/ { spilled = $5 + $9; stack = $1 }
    /Used [0-9]+ registers/ {
      match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
      shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH) + 0 : 0
      printf "%-8s %-48s %4d registers %6d bytes shared %6d bytes of stack %6d bytes spilled\n",
        device, kernel, registers, shared, stack, spilled
    }' "$scratch/said"
}

for file in "$folder"/*.ptx; do
  case "$file" in
    *.compute_80.ptx) devices=(sm_80 sm_90a) ;;
    *.compute_90a.ptx) devices=(sm_90a) ;;
    *)
      echo "no device is known for $file" >&2
      exit 1
      ;;
  esac
  for device in "${devices[@]}"; do
    assemble "$device" "$file"
  done
done
