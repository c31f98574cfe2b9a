#!/bin/busybox sh
# First process of the test guest: loads the drivers, then runs what arrives on the second serial line (or on the one that commands=… of the kernel's
# command line names).
# A command is one line: its number, the length of what follows, and base64; its output follows, then «@@done», the number and the exit code. An emulated serial
# line may lose a piece, and half of a script is none: then «garbled» takes the place of the code.
# With root=… on the command line this only loads the drivers, and the same script goes on from that file system («rooted»).
/bin/busybox --install -s /bin
export PATH=/tools:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
if [ "$1" != rooted ]; then
    while read -r module; do insmod "$module"; done < /modules/order
    root=$(sed -n 's/.*root=\([^ ]*\).*/\1/p' /proc/cmdline)
    if [ -n "$root" ]; then
        mount "$root" /mnt && umount /proc /sys /dev && exec switch_root /mnt /init rooted
    fi
fi
mount -t tmpfs tmp /tmp
# A root directory that everybody may write to is one from which DPDK loads nothing.
chmod 755 /
mkdir -p /var/run
ln -sf /proc/mounts /etc/mtab
ip link set lo up
line=/dev/$(sed -n 's/.*commands=\([a-zA-Z0-9]*\).*/\1/p' /proc/cmdline)
[ -c "$line" ] || line=/dev/ttyS1
exec < "$line" > "$line" 2>&1
stty raw -echo
echo "@@ready"
while read -r number length line; do
    if [ "${#line}" != "$length" ]; then
        echo "@@done $number garbled"
        continue
    fi
    echo "$line" | base64 -d > /tmp/command
    sh /tmp/command < /dev/null
    echo "@@done $number $?"
done
poweroff -f
