# Sourced by the findings that look into packages of Debian: `$work` must be set.

# unpack PACKAGE VERSION SUITE ARCHITECTURE: downloads the package, signatures checked, from the mirror that this
# machine's apt uses, and prints the folder where its files are.
unpack() {
  local root="$work/$1-$2.apt" mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/*$')
  mkdir -p "$root/lists/partial" "$root/cache/archives/partial" "$work/$1-$2"
  : >"$root/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $3 main" >"$root/sources.list"
  local options=(-o APT::Architecture="$4" -o APT::Architectures="$4" -o APT::Sandbox::User=root
    -o Dir::State="$root" -o Dir::State::status="$root/status" -o Dir::Cache="$root/cache"
    -o Dir::Etc::sourcelist="$root/sources.list" -o Dir::Etc::sourceparts=/dev/null)
  apt-get "${options[@]}" -qq update >&2
  (cd "$root" && apt-get "${options[@]}" -qq download "$1=$2" >&2)
  dpkg-deb -x "$root/$1"_*.deb "$work/$1-$2"
  echo "$1 $2" >&2
  echo "$work/$1-$2"
}

# opensbi VERSION SUITE: unpacks this OpenSBI and prints where its image is.
opensbi() {
  echo "$(unpack opensbi "$1" "$2" amd64)/usr/lib/riscv64-linux-gnu/opensbi/generic/fw_dynamic.bin"
}
