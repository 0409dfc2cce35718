# Installs the packages that are in apt's cache, inside the new system. mmdebstrap does the same on a
# machine that can execute them.
set -e
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true DPKG_COLORS=never
export LC_ALL=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
# There is nobody to start services for.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
cd /var/cache/apt/archives
# Others look up users and groups. The dependencies are all there, but not yet configured.
dpkg --force-unsafe-io --force-depends --install base-passwd_*.deb
dpkg --force-unsafe-io --force-depends --install *.deb
test -z "$(dpkg --audit)"
apt-get clean
rm /usr/sbin/policy-rc.d

echo debian > /etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 debian\n' > /etc/hosts
echo 'LABEL=debian / ext4 errors=remount-ro 0 1' > /etc/fstab
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
systemctl enable systemd-networkd.service
# A machine without a network is not one that fails.
systemctl disable systemd-networkd-wait-online.service
passwd --delete root
sync
