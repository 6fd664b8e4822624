#!/usr/bin/env bash
#SBATCH --job-name=jaxdepth
#SBATCH --array=0-15
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=02:00:00
#SBATCH --requeue
#SBATCH --output=jaxdepth-%A-%a.log
#
# A sweep as a Slurm array, a share of its tiles a task, in a folder that all nodes see:
#
#     sbatch experiments/slurm.sh depth_width_map --full
#     sbatch --array=0-63 --gpus-per-task=1 experiments/slurm.sh certificate_map --full
#     python -m experiments run depth_width_map --full      # judges and draws what they measured
#
# A task that is killed costs its tiles in flight; requeued, or submitted again, it goes on.
set -euo pipefail
exec "${PYTHON:-python}" -m experiments sweep "$@" \
    --worker "${SLURM_ARRAY_TASK_ID}/${SLURM_ARRAY_TASK_COUNT}"
