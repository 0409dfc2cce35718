# Makes a disk with Debian's packages, unpacked but not installed: that takes a RISC-V machine. Runs
# under fakeroot, so that files can belong to anyone.
#
# tree.sh TREE DISK SIZE LABEL SOURCES PACKAGES
set -eu
tree=$1 disk=$2 size=$3 label=$4 sources=$5 packages=$6

# `extract` is the variant that executes nothing of what it unpacks. Only what runs the installed
# system's programs is needed: nobody reads manuals there.
mmdebstrap --variant=extract --mode=root --architectures=riscv64 --skip=chroot/mount,cleanup/apt/cache \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$packages" trixie "$tree" "$sources"

# The emulated machine unpacks them again, for dpkg to know. It is slow to decompress.
cd "$tree/var/cache/apt/archives"
if test "$label" = tools; then
    rm ./*.deb
else
    echo "decompressing the packages"
    mkdir parts
    for package in *.deb; do
        (
            cd parts
            riscv64-linux-gnu-ar x "../$package"
            dpkg-deb --fsys-tarfile "../$package" > data.tar
            rm "../$package"
            riscv64-linux-gnu-ar qcS "../$package" debian-binary control.tar* data.tar
            rm ./*
        )
    done
    rmdir parts
fi

echo "making the file system"
mke2fs -q -t ext4 -L "$label" -d "$tree" "$disk" "$size"
