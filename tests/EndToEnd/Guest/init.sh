#!/bin/busybox sh
# First process of the test guest: loads the drivers, then runs what arrives on the second serial line.
# A command is one line of base64; its output follows, then «@@done» and its exit code.
/bin/busybox --install -s /bin
export PATH=/tools:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ln -s /proc/mounts /etc/mtab
while read -r module; do insmod "$module"; done < /modules/order
ip link set lo up
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
stty raw -echo
echo "@@ready"
while read -r line; do
    echo "$line" | base64 -d > /tmp/command
    sh /tmp/command < /dev/null
    echo "@@done $?"
done
poweroff -f
