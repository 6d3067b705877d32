#!/usr/bin/env bash
# The main job on phantoms, or on your data: pretrain, fine-tune, compare with scratch, segment, report.
#   bash ci/quickstart.sh [--method hybridmim|mae|simmim|simclr]
#     [--backbone basic_unet|segresnet|swin_unetr|unetr|unetr_patch8]
#     [--data hippocampus] [--dataset_dir DIR] [--out DIR] [--seed N]
# A wrong command line is refused before anything is installed; what is printed otherwise is --help.
told=$("${PYTHON:-python3}" "$(dirname "$0")/quickstart_arguments.py" "$@") || exit
[ -z "$told" ] || { echo "$told"; exit; }
source "$(dirname "$0")/setup.sh"
exec python ci/quickstart.py "$@"
