# Sourced by the findings about Rust crates: a temporary folder `$work` that goes at the end, and the function below.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# prints CRATE VERSION: builds standard input as a program with this one dependency, and runs it.
prints() {
  mkdir -p "$work/src"
  cat >"$work/src/main.rs"
  printf '[package]\nname = "finding"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n[workspace]\n' \
    "$1" "$2" >"$work/Cargo.toml"
  echo "crate $1 $2" >&2
  cargo run --quiet --manifest-path "$work/Cargo.toml"
}

# same SEEN EXPECTED: prints what was seen, and fails if it is something else by now.
same() {
  echo "$1"
  if [ "$1" != "$2" ]; then
    printf 'this has changed; it was\n%s\n' "$2" >&2
    exit 1
  fi
}
