# The first process of a node, in namespaces of mounts and processes of its own: makes the places that a node
# writes to its own, and reaps the orphans.
#   sh init.sh FOLDER
# For each line of FOLDER/places, FOLDER/own/LINE takes the place of /LINE. Each file of FOLDER/proc-sys stands before
# that of /proc/sys, which is the whole machine's: a node finds what it wants there, and changes nothing.
set -e
folder=$1
# What is mounted from here on is seen by the containers, and by nobody outside.
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mount -t bpf bpf /sys/fs/bpf
# An overlay has the folders to mount on, whatever the machine has there.
mount -t overlay -o "lowerdir=/var/lib,upperdir=$folder/upper,workdir=$folder/work" overlay /var/lib
while read -r place; do
    mkdir -p "/$place"
    mount --bind "$folder/own/$place" "/$place"
done <"$folder/places"
(cd "$folder/proc-sys" && find . -type f) | while read -r setting; do
    setting=${setting#./}
    if [ -e "/proc/sys/$setting" ]; then mount --bind "$folder/proc-sys/$setting" "/proc/sys/$setting"; fi
done
: >"$folder/up"
# A shell that waits for one child waits for all that have become its own.
while :; do
    sleep 1000000 &
    wait $!
done
