# The interactive demonstration's first process: a shell.
mount -t tmpfs tmpfs /tmp
echo
echo PV:boot
uname -a
echo "This is a shell in the guest. \"poweroff -f\" ends it; so does Ctrl-A x, at once."
export PS1='guest:\w\$ ' HOME=/root TERM=linux
cd /root
# A controlling terminal, so that Ctrl-C reaches what runs in the shell.
setsid cttyhack sh
poweroff -f
