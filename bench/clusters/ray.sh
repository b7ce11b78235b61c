#!/usr/bin/env bash
# Two Ray nodes of one core each on this machine, for as long as a command runs:
#
#   bench/clusters/ray.sh ariel build-dataset ROOT OUT --config configs/build-ray.yaml
#
# Needs `pip install 'ariel-hf[ray]'`. Nothing is left running; the nodes' logs are shown where the cluster does not start.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,6s/^# \?//p' "$0"; exit 2; }
command -v ray >/dev/null || { echo "ray.sh: no command ray: pip install 'ariel-hf[ray]'" >&2; exit 2; }

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
folder=$(mktemp -d /tmp/ariel-ray.XXXX)  # Ray's sockets need a short path
nodes=()

start_node() {  # in the foreground of a job of ours, so that it ends with this script
  ray start --block --disable-usage-stats --num-cpus 1 --memory 4000000000 --object-store-memory 100000000 "$@" \
    >"$folder/node$((${#nodes[@]} + 1)).log" 2>&1 &
  nodes+=($!)
}

stop() {
  local node
  for node in "${nodes[@]}"; do kill "$node" 2>/dev/null || true; done
  wait "${nodes[@]}" 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

two_nodes() {
  python - <<'PYTHON' 2>/dev/null
import sys, ray
ray.init(log_to_driver=False, logging_level="ERROR")
sys.exit(sum(node["Alive"] for node in ray.nodes()) < 2)
PYTHON
}

failed() {
  cat "$folder"/node*.log >&2
  echo "ray.sh: the nodes did not start" >&2
  exit 1
}

export RAY_ADDRESS=127.0.0.1:$port
# a token of this cluster alone: a head takes one that lies in ~/.ray by itself, and its nodes do not
RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
start_node --head --node-ip-address 127.0.0.1 --port "$port" --include-dashboard=false --temp-dir "$folder/ray"
for attempt in $(seq 30); do
  if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
  sleep 1
done
start_node --address "$RAY_ADDRESS"
until two_nodes; do
  for node in "${nodes[@]}"; do kill -0 "$node" 2>/dev/null || failed; done
  [ "${waited:=0}" -lt 20 ] || failed
  waited=$((waited + 1))
  sleep 1
done
"$@"
