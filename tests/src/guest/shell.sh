#!/bin/sh
# Runs each line that comes over the second serial line as a command, and answers with a line that
# says how it ended and how many bytes it printed, and with these bytes.
stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
echo "shell: ready"
while read -r command <&3; do
    sh -c "$command" </dev/null >/tmp/printed 2>&1 3<&-
    echo "$? $(wc -c </tmp/printed)" >&3
    cat /tmp/printed >&3
done
