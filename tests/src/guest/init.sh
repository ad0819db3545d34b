#!/bin/busybox sh
# The first process of a guest: makes a machine of the kernel, runs /script, and turns it off.
export PATH=/bin
/bin/busybox mkdir -p /dev /proc /run /sys /tmp /var
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
for module in $(cat /modules); do modprobe "$module"; done
/script
poweroff -f
