#!/usr/bin/env bash
# Sends the same requests to Apache Kafka and to the built broker and prints every difference.
# Needs java and mvn: without them it says so and succeeds. Arguments go to kdiff (-run, -v, ...). Without them all areas run that are
# served; NGRP, TXN, SHARE, SCRAM and QUOTA aren't yet. The status is 0 if nothing differs but what compat-tests/kdiff/known.tsv explains.
set -euo pipefail
cd "$(dirname "$0")/.."
for c in java mvn; do
  command -v $c >/dev/null || { echo "kdiff skipped: no $c on this machine"; exit 0; }
done
work=$(mktemp -d)
free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
port=${KDIFF_KAFKA_PORT:-21192} # Kafka's controller takes the one a thousand above it
until free "$port" && free $((port + 1000)); do port=$((port + 1)); done
kafka=127.0.0.1:$port
cleanup() {
  [ -z "${pid:-}" ] || kill "$pid" 2>/dev/null || true
  compat-tests/kafka.sh stop "$work/kafka" KILL >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/kafka"
echo auto.create.topics.enable=true > "$work/kafka/extra.properties" # as ours below: the source of a setting is compared too
compat-tests/kafka.sh start "$work/kafka" 1 "${kafka#*:}"
bin/kbroker --listen 127.0.0.1:0 --http off --data-dir "$work/data" --profile production --log-level info --log-format text \
  --set auto.create.topics.enable=true --set group.initial.rebalance.delay.ms=0 \
  --set offsets.topic.replication.factor=1 --set transaction.state.log.replication.factor=1 --set transaction.state.log.min.isr=1 \
  --set share.coordinator.state.topic.replication.factor=1 --set share.coordinator.state.topic.min.isr=1 2> "$work/kbroker.log" &
pid=$!
until ours=$(grep -oE 'msg=ready listen=[0-9.:]+' "$work/kbroker.log" | cut -d= -f3) && [ -n "$ours" ]; do
  kill -0 "$pid" || { cat "$work/kbroker.log" >&2; exit 1; }
  sleep 0.05
done
areas='^(CONN|AV|META|TOPIC|PROD|IDEM|FETCH|SESS|LOFF|DREC|CGRP|GADM|OFFS|CFG|ADM|ACL|DTOK)/'
go run ./compat-tests/kdiff -run "$areas" -a "$kafka" -b "$ours" -known compat-tests/kdiff/known.tsv "$@"
