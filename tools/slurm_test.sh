#!/usr/bin/env bash
# test.py as a job of Slurm, a process a GPU:
#     GPUS=8 slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]" >&2; exit 2; }
GPUS=${GPUS:-8} GPUS_PER_NODE=${GPUS_PER_NODE:-8}
# Words of its own, such as --time=2:00:00.
read -ra SRUN_ARGS <<< "${SRUN_ARGS:-}"
exec srun --partition="$1" --job-name="$2" --gres="gpu:$GPUS_PER_NODE" --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
    ${SRUN_ARGS[@]+"${SRUN_ARGS[@]}"} \
    "${PYTHON:-python}" -u "$(dirname "$0")/test.py" "$3" "$4" --launcher slurm "${@:5}"
