#!/bin/sh
# Profiles the router on 127.0.0.1:PORT under load: bench/profile.sh PORT [options of load.c]
# Example: bench/profile.sh 8080 --transport ws/json --receivers 100 --window 4
set -eu
port=${1:?usage: bench/profile.sh PORT [options of load.c]}
shift
here=$(cd "$(dirname "$0")" && pwd)
pid=$(ss -Hltnp "sport = :$port" | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
(cd "$here/.." && python3 -c 'from pathlib import Path; from bench.load import build; build(Path("bench/.build"))')
"$here/.build/load" --mode pubsub --window 256 --to "127.0.0.1:$port" --pid "$pid" --seconds 10 "$@" &
py-spy record --pid "$pid" --duration 8 --rate 250 --function --format raw --output "$here/.build/profile.txt"
wait
echo "Samples by innermost function:"
awk '{ count = $NF; sub(/ [0-9]+$/, ""); n = split($0, frames, ";"); self[frames[n]] += count; all += count }
     END { for (f in self) printf "%5.1f %%  %s\n", 100 * self[f] / all, f }' "$here/.build/profile.txt" | sort -rn | head -n 25
