# Sourced by the findings that look into packages of Debian for riscv64: `$work` must be set.

# unpack PACKAGE VERSION SUITE: downloads the package for riscv64, signatures checked, from the mirror that this
# machine's apt uses, and prints the folder where its files are.
unpack() {
  local root="$work/apt" mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/*$')
  mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$work/$1"
  : >"$root/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $3 main" >"$root/sources.list"
  local options=(-o APT::Architecture=riscv64 -o APT::Architectures=riscv64 -o APT::Sandbox::User=root
    -o Dir::State="$root" -o Dir::State::status="$root/status" -o Dir::Cache="$root/cache"
    -o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=/dev/null)
  apt-get "${options[@]}" -qq update >&2
  (cd "$work" && apt-get "${options[@]}" -qq download "$1=$2" >&2)
  dpkg-deb -x "$work/$1"_*.deb "$work/$1"
  echo "$1 $2" >&2
  echo "$work/$1"
}
