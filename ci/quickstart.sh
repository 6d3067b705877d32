#!/usr/bin/env bash
# The main job on phantoms, or on your data: pretrain, fine-tune, compare with scratch, segment, report.
#   bash ci/quickstart.sh [--method hybridmim|mae|simmim|simclr]
#     [--backbone basic_unet|segresnet|swin_unetr|unetr|unetr_patch8]
#     [--data hippocampus] [--dataset_dir DIR] [--out DIR] [--seed N]
source "$(dirname "$0")/setup.sh"
exec python ci/quickstart.py "$@"
