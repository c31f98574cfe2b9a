#!/bin/busybox sh
# First process of the test guest: loads the drivers, then runs what arrives on the second serial line (or on the one that commands=… of the kernel's
# command line names).
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
line=/dev/$(sed -n 's/.*commands=\([a-zA-Z0-9]*\).*/\1/p' /proc/cmdline)
[ -c "$line" ] || line=/dev/ttyS1
exec < "$line" > "$line" 2>&1
stty raw -echo
echo "@@ready"
while read -r line; do
    echo "$line" | base64 -d > /tmp/command
    sh /tmp/command < /dev/null
    echo "@@done $?"
done
poweroff -f
