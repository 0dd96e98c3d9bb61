#!/usr/bin/env bash
# train.py in several processes of one machine or, with NNODES, NODE_RANK and MASTER_ADDR, of several:
#     dist_train.sh CONFIG GPUS [options of train.py]
# Processes on the CPU: --cfg-options env_cfg.dist_cfg.backend=gloo
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [options of train.py]" >&2; exit 2; }
CONFIG=$1 GPUS=$2
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "${@:3}"
