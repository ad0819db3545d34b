#!/bin/sh
# Notes what the client says in a file, and gives the interface its address.
folder=@FOLDER@
event=${reason:-$1}
case $event in
BOUND | REBOOT | RENEW | REBIND | bound | renew)
    if [ -e "$folder/refuse" ]; then
        rm "$folder/refuse"
        exit 1
    fi
    # Of those that probe only dhclient leaves it to us.
    if [ -e "$folder/probe" ] && [ "$event" = BOUND ] && [ -z "$if_configured" ]; then
        busybox arping -D -q -c 2 -w 2 -I "$interface" "$new_ip_address" || exit 1
    fi
    # dhcpcd configures the interface by itself.
    if [ -z "$if_configured" ]; then
        ip address replace "${ip:-$new_ip_address}/${mask:-$new_subnet_mask}" dev "$interface"
    fi
    ;;
esac
number=1
while [ -e "$folder/event.$number" ]; do number=$((number + 1)); done
{
    echo "event=$event"
    env
} >"$folder/event.new"
mv "$folder/event.new" "$folder/event.$number"
