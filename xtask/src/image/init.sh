# What the first process of the machine that installs the packages on its disk does when modules are loaded.
mount -t ext4 /dev/vda /root
for directory in proc sys dev; do mount -o bind /$directory /root/$directory; done
cp /install.sh /root/
chroot /root /bin/sh /install.sh && installed=yes
rm /root/install.sh
umount /root/dev /root/sys /root/proc
fstrim /root
umount /root && echo "PV:installed=$installed"
poweroff -f
