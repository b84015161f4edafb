# shellcheck shell=bash
# Sourced by the scripts that run tests. Runs them in parts, counts what the test programs report, and ends with the times, the names of
# what failed, and one line: N passed, N failed, N skipped.
# A test that cannot run on this machine prints SKIPPED and why. It counts as skipped, never as passed.

passed=0 failed=0 skipped=0
times=() failures=()
parts_log=$(mktemp)
trap 'rm -f "$parts_log"' EXIT

count() { # count WORD: adds up "N WORD" over the results of all test programs in the log
    { grep -E '^test result: ' "$parts_log" || true; } | sed -E "s/.* ([0-9]+) $1.*/\1/" | awk '{ n += $1 } END { print n + 0 }'
}

# part NAME COMMAND…: runs it, and counts its tests; a command without test programs counts as one test.
part() {
    local name=$1 from=$SECONDS status noted ran good bad named told
    shift
    echo "== $name"
    "$@" 2>&1 | tee "$parts_log"
    status=${PIPESTATUS[0]}
    noted=$(grep -cE '^SKIPPED ' "$parts_log")
    good=$(count passed) bad=$(count failed)
    ran=$(grep -cE '^test result: ' "$parts_log")
    skipped=$((skipped + $(count ignored) + noted))
    if ((ran > 0)); then
        passed=$((passed + good - noted))
        # A test program that was killed reports no result, and one that does not compile not even a name.
        named=$(grep -cE '^ +`(-p|--)' "$parts_log")
        told=$(grep -cE '^test result: FAILED' "$parts_log")
        if ((named > told)); then bad=$((bad + named - told)); fi
    elif ((status == 0 && noted == 0)); then
        passed=$((passed + 1))
    fi
    if ((status != 0 && bad == 0)); then bad=1; fi
    if ((bad > 0)); then
        failed=$((failed + bad))
        failures+=("$name:")
        # shellcheck disable=SC2016 # The backticks are cargo's.
        while IFS= read -r line; do failures+=("  $line"); done < <(
            sed -nE -e 's/^test (.*) \.\.\. FAILED$/\1/p' -e 's/^    `(-p .*)`$/in \1/p' -e 's/^MISSED /not caught: /p' "$parts_log"
        )
    fi
    times+=("$(printf '%-24s %-7s %5d s' "$name" "$( ((bad > 0)) && echo failed || echo ok)" $((SECONDS - from)))")
    ((bad == 0))
}

skip() { # skip NAME REASON
    echo "SKIPPED $1: $2"
    skipped=$((skipped + 1))
}

# The last word; its status is that of the whole. COUNTS names a file that keeps the three numbers.
summary() {
    echo
    printf '%s\n' "${times[@]}"
    if ((failed > 0)); then
        printf '\nFailed:\n'
        printf '  %s\n' "${failures[@]}"
    fi
    [[ -z ${COUNTS:-} ]] || echo "$passed $failed $skipped" >"$COUNTS"
    printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    ((failed == 0))
}
