#!/usr/bin/env bash
# Every seg bundle in a real MONAI Label server on loopback: list, segment, train by REST, segment with the new
# weights; then two bundles in one server, and the default configs listed together.
#   bash ci/label_roundtrip.sh [BUNDLE ...] [--full] [--epochs N] [--out DIR]
#   LABEL_VENV=DIR   the server's own environment, made once and kept (default .venv-label in the repository)
#   LABEL_PYTHON=BIN the interpreter it is made with, Python 3.11 (default python3.11)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
LABEL_PYTHON=${LABEL_PYTHON:-python3.11}
LABEL_VENV=${LABEL_VENV:-.venv-label}
python=$LABEL_VENV/bin/python
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
  # torch first and held fixed: MONAI Label asks for any, and would fetch another. The other pins are the newest
  # that MONAI Label 0.8.5 imports with.
  install torch==2.13.0
  pinned torch >"$LABEL_VENV/constraints.txt"
  install -c "$LABEL_VENV/constraints.txt" monailabel==0.8.5 monai==1.6.1 "pydicom<3" "pynetdicom<3" \
    "dicomweb-client[gcp]<0.60" mlflow==3.17.2
  # What the bundles' own code needs beside it, MONAI Label's numpy left as it is. The package itself is not
  # installed: each packed bundle carries its own, and this shows that it does.
  pinned numpy >>"$LABEL_VENV/constraints.txt"
  install -c "$LABEL_VENV/constraints.txt" -r requirements.txt
  # PyPI's torchvision is built for CUDA. Beside a torch for CPUs its compiled part does not load, and two of its
  # modules then fail, as they register operators that are not there. MONAI Label needs neither: they are put in
  # place as empty modules. (By a .pth file, as some systems have a sitecustomize.py of their own, which hides ours.)
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
exec "$python" ci/label_roundtrip.py "$@"
