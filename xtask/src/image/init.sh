#!/bin/busybox sh
# The first process of the machine that installs the packages on its disk.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for name in $(cat /modules/order); do
    xzcat /modules/$name.ko.xz > /modules/$name.ko && insmod /modules/$name.ko
done
mount -t ext4 /dev/vda /root
for directory in proc sys dev; do mount -o bind /$directory /root/$directory; done
cp /install.sh /root/
chroot /root /bin/sh /install.sh && installed=yes
rm /root/install.sh
umount /root/dev /root/sys /root/proc
fstrim /root
umount /root && echo "PV:installed=$installed"
poweroff -f
