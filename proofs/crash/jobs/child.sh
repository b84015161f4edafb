# A child of main.sh in a session of its own that goes on after the job's end.
file="$witness/$MINITOWER_RUN_ID.$MINITOWER_ATTEMPT.$$"
note() {
    read -r up _ </proc/uptime
    echo "$* $up" >>"$file"
}

note begin child
ticks=$((linger / 50 + 1))
tick=0
while [ "$tick" -lt "$ticks" ]; do
    tick=$((tick + 1))
    note alive
    sleep 0.05
done
