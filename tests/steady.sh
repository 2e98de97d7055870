#!/usr/bin/env bash
# Run `make test` N times (20): half of them quiet, a quarter beside four busy loops, a quarter at the lowest priority
# beside two. Prints a line for each run; the exit status is 0 only if all passed. TEST="..." runs another command.
set -uo pipefail
cd "$(dirname "$0")/.."
runs=${1:-20} passed=0 loops=()
log=$(mktemp)

stop_loops() {
    [ "${#loops[@]}" = 0 ] || kill "${loops[@]}" 2>/dev/null
    wait "${loops[@]}" 2>/dev/null
    loops=()
}
trap 'stop_loops; rm -f "$log"' EXIT
trap 'exit 130' INT TERM

for ((run = 1; run <= runs; run++)); do
    kind=quiet busy=0 niceness=0
    ((run > runs / 2)) && kind="four busy loops" busy=4
    ((run > runs * 3 / 4)) && kind="nice -n 19, two busy loops" busy=2 niceness=19
    for ((each = 0; each < busy; each++)); do
        setsid yes >/dev/null & # in a session of its own, as one from another terminal: nice(1) ranks within a session
        loops+=($!)
    done
    began=$SECONDS
    if nice -n "$niceness" ${TEST:-make test} >"$log" 2>&1; then
        result=passed passed=$((passed + 1))
    else
        result=FAILED
        cat "$log"
    fi
    stop_loops
    echo "run $run ($kind): $result, $((SECONDS - began)) s: $(grep -E '[0-9]+ passed' "$log" | tail -n 1)"
done
echo "$passed of $runs passed"
[ "$passed" = "$runs" ]
