#!/usr/bin/env bash
# `dtc` writes a frequency as a string when its bytes happen to be printable.
#
# Guess: a number of a device tree comes back from `dtc -O dts` as a number, so that
# `grep 'timebase-frequency = <'` finds it in any board's tree.
# Seen: dtc does not know which property has which type; it takes bytes that end with 0 and are otherwise
# printable or white space for strings, empty ones among them. 4 MHz, the time base of the JH7110 (VisionFive 2,
# Star64, Mars), is 00 3d 09 00: an empty string, and "=" with a tabulator. 1 MHz is written as a number. The blob made
# from it again is the same.
set -eu
. "$(dirname "$0")/common/bare-metal.sh"
pinned device-tree-compiler 1.6.1-4+b1

decompiled() {
  printf '/dts-v1/;\n/ { cpus { timebase-frequency = <%s>; }; };\n' "$1" | dtc -q -O dtb -o "$work/tree.dtb"
  dtc -q -I dtb -O dts "$work/tree.dtb" | sed -n 's/^.*\(timebase-frequency\)/\1/p'
}
expect "1000000 Hz" "$(decompiled 1000000)" 'timebase-frequency = <0xf4240>;'
expect "4000000 Hz" "$(decompiled 4000000)" 'timebase-frequency = "\0=\t";'
