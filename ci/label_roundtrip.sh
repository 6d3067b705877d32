#!/usr/bin/env bash
# Segmentation bundles in a real MONAI Label server on this machine: list, segment, train, segment again.
#   bash ci/label_roundtrip.sh [BUNDLE ...] [--full] [--epochs N] [--out DIR]   the arguments of mim3d label
#   LABEL_VENV=DIR   environment for MONAI Label, made once and kept (default .venv-label in the repository)
#   LABEL_PYTHON=BIN Python 3.11 to make it with (default python3.11)
set -euo pipefail
here=$PWD
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
LABEL_PYTHON=${LABEL_PYTHON:-python3.11}
LABEL_VENV=${LABEL_VENV:-.venv-label}
python=$root/$LABEL_VENV/bin/python
case $LABEL_VENV in /*) python=$LABEL_VENV/bin/python ;; esac
install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
pinned() { "$python" -c 'import importlib.metadata as m, sys; print(f"{sys.argv[1]}=={m.version(sys.argv[1])}")' "$1"; }

"$LABEL_PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "error: $LABEL_PYTHON is not Python 3.11, which MONAI Label 0.8.5 runs with here (set LABEL_PYTHON=...)" >&2
  exit 1
}
[ -x "$python" ] || "$LABEL_PYTHON" -m venv "$LABEL_VENV"
stamp="$LABEL_VENV/installed-$(cat requirements.txt ci/label_roundtrip.sh | sha256sum | cut -c1-16)"
if [ ! -f "$stamp" ]; then
  echo "installing MONAI Label into $LABEL_VENV (once; minutes, about 4 GB)"
  # torch first, and pinned: MONAI Label accepts any version and would install another. The other pins are the newest
  # versions that MONAI Label 0.8.5 can import.
  install torch==2.13.0
  pinned torch >"$LABEL_VENV/constraints.txt"
  install -c "$LABEL_VENV/constraints.txt" monailabel==0.8.5 monai==1.6.1 "pydicom<3" "pynetdicom<3" \
    "dicomweb-client[gcp]<0.60" mlflow==3.17.2
  # What the bundles' own code needs; MONAI Label's numpy stays. This repository is not installed here, so a bundle
  # works only if its package carries its own custom_components.
  pinned numpy >>"$LABEL_VENV/constraints.txt"
  install -c "$LABEL_VENV/constraints.txt" -r requirements.txt
  # PyPI's torchvision is built for CUDA. With a CPU-only torch its compiled operators do not load, and two of its
  # modules fail to import because they register those operators. MONAI Label needs neither, so empty modules replace
  # them. A .pth file does that, because a system's own sitecustomize.py would hide ours.
  if ! "$python" -c 'import torchvision' 2>/dev/null; then
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cat >"$site/torchvision_on_cpu.py" <<'PYTHON'
import sys
import types

for name in ("torchvision._meta_registrations", "torchvision._autograd_registrations"):
    sys.modules[name] = types.ModuleType(name)
PYTHON
    echo "import torchvision_on_cpu" >"$site/torchvision_on_cpu.pth"
    "$python" -c 'import torchvision'
  fi
  touch "$stamp"
fi
cd "$here" # relative paths in the arguments are the caller's
exec env PYTHONPATH="$root" "$python" -m mim3d label "$@"
