# Installs the packages that are in apt's cache, inside the new system. mmdebstrap does the same on a
# machine that can execute them.
set -e
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true DPKG_COLORS=never
export LC_ALL=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
# There is nobody to start services for.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
# The initramfs takes the checker of the root's file system along, if it knows which that is.
echo 'LABEL=debian / ext4 errors=remount-ro 0 1' > /etc/fstab
cd /var/cache/apt/archives
# Others look up users and groups. The dependencies are all there, but not yet configured.
dpkg --force-unsafe-io --force-depends --install base-passwd_*.deb
# The kernel's package would make the initramfs, and the trigger of initramfs-tools again.
INITRD=No dpkg --force-unsafe-io --force-depends --install *.deb
test -z "$(dpkg --audit)"
apt-get clean
rm /usr/sbin/policy-rc.d
echo "making the initramfs"
update-initramfs -c -k all

echo debian > /etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 debian\n' > /etc/hosts
# QEMU's user network answers here.
echo 'nameserver 10.0.2.3' > /etc/resolv.conf
cat > /etc/systemd/network/ether.network << END
[Match]
Type=ether
[Network]
DHCP=yes
[DHCPv4]
# Copies of this system have one machine-id.
ClientIdentifier=mac
END
# A machine that is slow, or emulated on a busy one, takes longer than systemd's 90 s to find its console: without that
# there is no prompt for a login.
mkdir -p /etc/systemd/system.conf.d
cat > /etc/systemd/system.conf.d/patience.conf << END
[Manager]
DefaultDeviceTimeoutSec=900
DefaultTimeoutStartSec=900
END
systemctl enable systemd-networkd.service
# A machine without a network is not one that fails.
systemctl disable systemd-networkd-wait-online.service
passwd --delete root
# What the first boot after an installation does, and every first boot of a copy would do again.
echo "doing the work of the first boot"
ldconfig
journalctl --update-catalog
systemd-hwdb update
systemd-sysusers
/usr/lib/systemd/systemd-update-done
sync
