#!/usr/bin/env bash
# Measures the built broker with kperf, beside the floor (a server that stores and does nothing else) and beside peers that are running
# already, all in one run: figures of different runs on a busy machine can't be compared. Prints a line of JSON per measurement to
# bench/results.jsonl and a table at the end.
#
#   bench/run.sh                                       kbroker and the floor
#   KPERF_PEERS="kfake=127.0.0.1:29092=PID" bench/run.sh   and peers, name=address=process id, separated by spaces
#   KPERF_ROUNDS=5                                     rounds; the table shows medians
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
out=${KPERF_OUT:-bench/results.jsonl}
rounds=${KPERF_ROUNDS:-3}
: > "$out"
go build -o "$work/kperf" ./bench/kperf
[ -x bin/kbroker ] || make build
port=${KPERF_PORT:-29592} floor_port=$((${KPERF_PORT:-29592} + 1))
pids=()
cleanup() { kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT

up() { for _ in $(seq 500); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return; sleep 0.02; done; echo "nothing listens on $1" >&2; exit 1; }
start_ours() { bin/kbroker --listen "127.0.0.1:$port" --http off --data-dir "$1" --log-level warn & ours=$!; pids+=("$ours"); up "$port"; }
start_floor() { mkdir -p "$work/floor"; "$work/kperf" floor -listen "127.0.0.1:$floor_port" -dir "$work/floor" 2>/dev/null & floor=$!; pids+=("$floor"); up "$floor_port"; }
# measure NAME WHAT ARGS...: one JSON line with the name and what it is
measure() { local name=$1 what=$2 line; shift 2; line=$("$work/kperf" "$@") || { echo "$name $what failed" >&2; return 0; }; echo "{\"broker\":\"$name\",\"what\":\"$what\",${line#\{}" >> "$out"; }

peers=(${KPERF_PEERS:-})
each() { # WHAT FLOOR-ARGS... -- ARGS...: the same load on every broker, one after the other
  local what=$1 cmd=$2; shift 2
  measure floor "$what" "$cmd" -brokers "127.0.0.1:$floor_port" -pid "$floor" "${direct[@]}" "$@"
  measure kbroker "$what" "$cmd" -brokers "127.0.0.1:$port" -pid "$ours" "$@"
  for p in "${peers[@]}"; do IFS== read -r name addr pid <<< "$p"; measure "$name" "$what" "$cmd" -brokers "$addr" -pid "$pid" "$@"; done
}
real() { # WHAT CMD ARGS...: what only a broker can do
  local what=$1 cmd=$2; shift 2
  measure kbroker "$what" "$cmd" -brokers "127.0.0.1:$port" ${with_pid:+-pid "$ours"} "$@"
  for p in "${peers[@]}"; do IFS== read -r name addr pid <<< "$p"; measure "$name" "$what" "$cmd" -brokers "$addr" ${with_pid:+-pid "$pid"} "$@"; done
}

for dir in memory: disk; do
  for _ in $(seq "$rounds"); do
    rm -rf "$work/start"; d=$work/start; [ $dir = memory: ] && d=memory:
    measure kbroker "start $dir" start -brokers "127.0.0.1:$((port + 2))" -- bin/kbroker --listen "127.0.0.1:$((port + 2))" --http off --data-dir "$d" --log-level warn
  done
done
start_ours "$work/data"
start_floor
sleep 1
awk '/VmRSS/{printf "{\"broker\":\"kbroker\",\"what\":\"idle\",\"rss_mb\":%.1f}\n", $2/1024}' "/proc/$ours/status" >> "$out"
for _ in $(seq "$rounds"); do
  direct=(-direct)
  each "produce 1 KB" produce -topic p1 -batch 10 -records 1000000
  each "produce 10 KB" produce -topic p10 -batch 100 -records 5000000
  each "produce 100 KB" produce -topic p100 -batch 1000 -records 10000000
  direct=(-direct 4)
  each "hot fetch" fetch -topic p10 -requests 1000
  with_pid=1
  real "fetch to the end" fetch -topic p10
  real latency latency -topic lat -rate 1000 -seconds 5
  real "create topic" admin -topics 50
  with_pid=
  real "group of 10" group -members 10
done
with_pid=1
real "idle connections" conns -n 2000
ls -l bin/kbroker | awk '{printf "{\"broker\":\"kbroker\",\"what\":\"binary\",\"binary_mb\":%.1f}\n", $5/1048576}' >> "$out"
go run ./bench/table "$out"
