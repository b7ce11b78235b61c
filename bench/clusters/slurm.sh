#!/usr/bin/env bash
# A Slurm of one node on this machine, for as long as a command runs and the jobs that it leaves in the queue:
#
#   bench/clusters/slurm.sh ariel build-dataset ROOT OUT --config configs/build-slurm.yaml
#
# Needs root and Debian's slurm-wlm and munge (apt-get install slurm-wlm munge). Its files are in a temporary folder;
# nothing is left running. Exits as the command does, or with 1 where a job failed.
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,7s/^# \?//p' "$0"; exit 2; }
for needed in munged slurmctld slurmd sbatch; do
  command -v "$needed" >/dev/null || { echo "slurm.sh: no command $needed: apt-get install slurm-wlm munge" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "slurm.sh: must be run by root" >&2; exit 2; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

folder=$(mktemp -d /tmp/ariel-slurm.XXXX)
daemons=()
mkdir "$folder"/{munge,state,spool}
head -c 128 /dev/urandom >"$folder/munge/key"
chmod 711 "$folder"; chmod 755 "$folder/munge"; chmod 600 "$folder/munge/key"
chown -R munge: "$folder/munge"
cat >"$folder/slurm.conf" <<CONF
ClusterName=ariel
SlurmctldHost=localhost
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MinJobAge=3600
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1
NodeName=localhost Sockets=1 CoresPerSocket=$(nproc) ThreadsPerCore=1 RealMemory=$(free -m | awk '/^Mem/ {print $2}') State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf

stop() {
  local daemon
  scancel --user root 2>/dev/null || true
  for daemon in "${daemons[@]}"; do kill "$daemon" 2>/dev/null || true; done
  wait "${daemons[@]}" 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT TERM

setpriv --reuid munge --regid munge --clear-groups munged --foreground --socket "$folder/munge/socket" \
  --key-file "$folder/munge/key" --log-file "$folder/munge/log" --pid-file "$folder/munge/pid" \
  --seed-file "$folder/munge/seed" & daemons+=($!)
until [ -S "$folder/munge/socket" ]; do sleep 0.2; kill -0 "${daemons[0]}"; done
slurmctld -D >/dev/null 2>&1 & daemons+=($!)
slurmd -D -N localhost >/dev/null 2>&1 & daemons+=($!)
until [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ]; do
  [ "${waited:=0}" -lt 30 ] || { cat "$folder"/slurm*.log >&2; echo "slurm.sh: the node is not idle" >&2; exit 1; }
  waited=$((waited + 1)); sleep 1
done

"$@"
while [ -n "$(squeue --noheader)" ]; do sleep 1; done
echo "jobs (id, name, state, seconds):" >&2
squeue --noheader --states=all --format='  %i %j %T %M' >&2
[ -z "$(squeue --noheader --states=FAILED,CANCELLED,TIMEOUT,NODE_FAIL,OUT_OF_MEMORY)" ]
