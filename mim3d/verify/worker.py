"""Runs the checks on one packed bundle, in a process of its own that sees no custom_components but the package's.

    python ci/verify_worker.py JOB.json     (ci/verify_bundles.py writes the job)

Each result is a line of JSON on stdout; whatever the checks print goes to the job's log.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def isolate(root: Path) -> None:
    """Take every other custom_components off the import path, editable installations included."""
    sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "__module__", "").startswith("__editable__")]
    sys.path[:] = [entry for entry in sys.path if not (Path(entry or ".") / "custom_components").is_dir()]
    sys.path.append(str(root))


def main(job_file: str) -> None:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with Path(job["log"]).open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    isolate(Path(job["root"]))

    from mim3d.verify.registry import Packed, as_dict, run_checks
    from mim3d.verify.verify_bundles import load_checks

    load_checks()
    schema = Path(job["schema"]) if job["schema"] else None
    packed = Packed(Path(job["root"]), job["others"], Path(job["scratch"]), schema, job["forbidden"])
    for result in run_checks(packed, job["checks"]):
        print(json.dumps(as_dict(result)), file=told, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
