#!/usr/bin/env bash
# The main job, small: pretrain, fine-tune, compare with scratch, segment, report. On phantoms, or on your data.
#   bash ci/quickstart.sh [--help] ...   the arguments of mim3d quickstart
# A bare Python judges the command line first, so that a wrong one ends before anything is installed.
here=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
answer=$(PYTHONPATH=$root "${PYTHON:-python3}" -m mim3d quickstart --check_arguments "$@") || exit
[ -z "$answer" ] || { echo "$answer"; exit; } # --help
source "$root/ci/setup.sh"
cd "$here" # relative paths in the arguments are the caller's
exec mim3d quickstart "$@"
