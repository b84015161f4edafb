# The same job as main.py for the shell; the time is that of /proc/uptime, in hundredths of a second.
file="$witness/$MINITOWER_RUN_ID.$MINITOWER_ATTEMPT.$$"
note() {
    read -r up _ </proc/uptime
    echo "$* $up" >>"$file"
}

if [ "$stubborn" = true ]; then
    trap '' TERM
fi
note begin main
started=0
while [ "$started" -lt "$children" ]; do
    setsid sh child.sh </dev/null >/dev/null 2>&1 &
    started=$((started + 1))
done
ticks=$((ms / 50 + 1))
tick=0
printed=0
while [ "$tick" -lt "$ticks" ]; do
    tick=$((tick + 1))
    upto=$((lines * tick / ticks))
    while [ "$printed" -lt "$upto" ]; do
        printed=$((printed + 1))
        echo "line $MINITOWER_RUN_ID $MINITOWER_ATTEMPT $printed"
    done
    note alive
    sleep 0.05
done
note end "$code" "$printed"
exit "$code"
