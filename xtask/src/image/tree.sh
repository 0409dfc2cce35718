# Makes the disk of a Debian whose packages are unpacked but not installed: that takes a RISC-V
# machine. Runs under fakeroot, so that files can belong to anyone.
#
# tree.sh TREE DISK SIZE SOURCES PACKAGES
set -eu
tree=$1 disk=$2 size=$3 sources=$4 packages=$5

# `extract` is the variant that executes nothing of what it unpacks.
mmdebstrap --variant=extract --mode=root --architectures=riscv64 --skip=chroot/mount,cleanup/apt/cache \
    --include='?essential' --include="$packages" trixie "$tree" "$sources"

# The emulated machine unpacks them again, for dpkg to know. It is slow to decompress.
cd "$tree/var/cache/apt/archives"
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

echo "making the file system"
mke2fs -q -t ext4 -L debian -d "$tree" "$disk" "$size"
