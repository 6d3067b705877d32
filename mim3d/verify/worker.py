"""Runs checks on one packed bundle, in a process that sees no custom_components but the package's.

    python -m mim3d.verify.worker JOB.json     (mim3d.verify.verify_bundles writes the job)

The repository holds mim3d and custom_components side by side, so no import path can show the one and not the
other. An import hook does. Each result is a line of JSON on stdout; what the checks print goes to the job's log.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from mim3d.package.folders import CONFIG_ONLY

OWN = "custom_components"


class PackageOnly(MetaPathFinder):
    """Finds custom_components in one folder and nowhere else: not in the repository, not in an installed copy.

    Args:
        root: folder of the packed bundle.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of custom_components; None for every other module.

        Raises:
            ModuleNotFoundError: if the package does not hold the module.
        """
        if fullname.partition(".")[0] != OWN:
            return None
        spec = PathFinder.find_spec(fullname, [str(self.root)] if fullname == OWN else path)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {fullname!r} in {self.root.name}", name=fullname)
        return spec


def main(job_file: str) -> None:
    """Run the checks of a job and print one result per line."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with Path(job["log"]).open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    root = Path(job["root"])
    if not root.name.startswith(CONFIG_ONLY):  # such a package has none; its checks block the import
        sys.meta_path.insert(0, PackageOnly(root))

    # Only now, so that whatever these import of custom_components is the package's.
    from mim3d.verify.checks import run_checks
    from mim3d.verify.packed import Packed

    schema = Path(job["schema"]) if job["schema"] else None
    packed = Packed(root, job["others"], Path(job["scratch"]), schema, job["forbidden"])
    for result in run_checks(packed, job["checks"]):
        print(json.dumps(result._asdict()), file=results, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
