#!/bin/sh
# The operating system: asks for an address as any other does, with a client-id of its own (RFC 4361,
# as systemd-networkd's), and says what it got.
if [ "$1" ]; then
    if [ "$1" = bound ]; then
        if [ -d /sys/firmware/efi ]; then firmware=uefi; else firmware=bios; fi
        echo
        echo "lease: $ip from $serverid for $lease on $firmware"
    fi
    exit
fi
ip link set eth0 up
udhcpc -f -q -n -i eth0 -s "$0" -x 0x3d:ff0000000100030001525400000001
