# Sourced by the findings that run a program without an operating system on QEMU: a temporary folder `$work`
# that goes at the end, and the functions below.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# pinned PACKAGE VERSION: the installed package must be this version.
pinned() {
  local installed
  installed=$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true)
  if [ "$installed" != "$2" ]; then
    echo "this needs $1 $2 (found: ${installed:-none}): apt-get install $1=$2" >&2
    exit 2
  fi
  echo "$1 $2"
}

# program NAME ADDRESS: assembles standard input into $work/NAME, which is loaded at ADDRESS.
program() {
  cat >"$work/$1.S"
  riscv64-linux-gnu-gcc -march=rv64gc_zicsr_zifencei -nostdlib -static -no-pie \
    -Wl,-n,--build-id=none,-Ttext="$2" -Wl,--no-warn-rwx-segments "$work/$1.S" -o "$work/$1"
}

# serial OPTION...: what the program writes to the serial port of QEMU's `virt`, with these options.
serial() {
  timeout 60 qemu-system-riscv64 -M virt -display none -monitor none -serial stdio "$@" </dev/null
}

# expect WHAT SEEN EXPECTED: prints what was seen, and fails if it is something else by now.
expect() {
  echo "$1: $2"
  if [ "$2" != "$3" ]; then
    echo "this has changed: it was $3" >&2
    exit 1
  fi
}
