#!/usr/bin/env bash
# test.py in several processes of one machine or, with NNODES, NODE_RANK and MASTER_ADDR, of several:
#     dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# Processes on the CPU: --cfg-options env_cfg.dist_cfg.backend=gloo
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 CONFIG CHECKPOINT GPUS [options of test.py]" >&2; exit 2; }
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "${@:4}"
