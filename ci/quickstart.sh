#!/usr/bin/env bash
# The main job on phantoms, or on your data: pretrain, fine-tune, compare with scratch, segment, report.
#   bash ci/quickstart.sh [--data hippocampus] [--dataset_dir DIR] [--out DIR] [--seed N]
source "$(dirname "$0")/setup.sh"
exec python ci/quickstart.py "$@"
