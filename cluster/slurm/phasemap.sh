#!/usr/bin/env bash
# One study on the nodes of a Slurm allocation: a head on the first node, a worker on each other one, then the study.
#
#     sbatch --nodes=4 cluster/slurm/phasemap.sh studies/quickstart.yaml /shared/runs
#
# Submitted again, it continues. Needs: the same Python with phasemap on all nodes (activate it below, or load a module),
# and a storage that all of them share. Slurm sends SIGTERM before the time is up: the driver then ends in order.
#SBATCH --job-name=phasemap
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail

study=${1:?usage: sbatch cluster/slurm/phasemap.sh STUDY STORAGE}
storage=${2:?usage: sbatch cluster/slurm/phasemap.sh STUDY STORAGE}
cpus=${SLURM_CPUS_PER_TASK:-1}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 10000))

# A token of this job's own: without one, every user who reaches the node could run code as you.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1

steps=()
# shellcheck disable=SC2329  # called by the trap
end() {
  for step in "${steps[@]}"; do kill -TERM "$step" 2>/dev/null || true; done
  wait
}
trap end EXIT

start() { # NODE OPTIONS: a Ray node that ends with its step
  srun --nodes=1 --ntasks=1 --overlap --nodelist="$1" \
    ray start --block --num-cpus="$cpus" --disable-usage-stats "${@:2}" &
  steps+=($!)
}

start "${nodes[0]}" --head --node-ip-address="$address" --port="$port" --include-dashboard=false
until ray health-check --address "$address:$port" 2>/dev/null; do
  kill -0 "${steps[0]}" || { echo "the head did not start" >&2; exit 3; }
  sleep 1
done
for node in "${nodes[@]:1}"; do
  start "$node" --address="$address:$port"
done # the study starts on the head's CPUs, and uses the other nodes as they join

python -m phasemap run "$study" --address "$address:$port" --storage "$storage" &
driver=$!
trap 'kill -TERM "$driver"' TERM # from Slurm, before the end of the time
code=0
wait "$driver" || code=$?
if kill -0 "$driver" 2>/dev/null; then # the signal ended the first wait
  code=0
  wait "$driver" || code=$?
fi
exit "$code"
