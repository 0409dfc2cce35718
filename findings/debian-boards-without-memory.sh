#!/usr/bin/env bash
# Debian's device trees of some boards have no memory, or none below 64 GiB.
#
# Guess: the tree of a board that comes with the kernel names at least the memory that each such board has, and a part of
# it lies below 4 GiB, where all of these SoCs have their devices.
# Seen: none of the trees of the Allwinner D1 and the Sophgo SG2042 has a memory node: only firmware knows, and who
# boots with the plain file has no RAM. Microchip's SEV kit has its only memory at 64 GiB, beside devices below
# 1 GiB: an Sv39 kernel or monitor whose direct map begins at 0 and has 63 GiB does not reach it.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
. "$(dirname "$0")/common/debian.sh"
command -v fdtget >/dev/null || { echo "this needs fdtget: apt-get install device-tree-compiler" >&2; exit 2; }

trees=$(unpack linux-image-6.12.117+deb13-riscv64 6.12.117-1 trixie riscv64)
without=0
high=0
for tree in $(find "$trees" -name '*.dtb' | sort); do
  nodes=$(fdtget -l "$tree" / | grep -E '^memory(@|$)' || true)
  if [ -z "$nodes" ]; then
    echo "no memory: $(basename "$tree")"
    without=$((without + 1))
    continue
  fi
  lowest=$(for node in $nodes; do
    cells=$(fdtget -t u "$tree" / '#address-cells')
    # shellcheck disable=SC2046 # the cells are words
    set -- $(fdtget -t u "$tree" "/$node" reg)
    if [ "$cells" = 2 ]; then echo $((($1 << 32) + $2)); else echo "$1"; fi
  done | sort -n | head -1)
  if [ "$lowest" -ge $((1 << 32)) ]; then
    echo "no memory below $((lowest >> 30)) GiB: $(basename "$tree")"
    high=$((high + 1))
  fi
done
expect "trees without memory" "$without" 11
expect "trees without memory below 4 GiB" "$high" 1
