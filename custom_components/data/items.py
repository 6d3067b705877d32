"""The data list as a segmentation config reads it: what is wrong with it is one line, not a traceback.

MONAI Label replaces ``train#dataset#data`` and ``validate#dataset#data`` and knows no ``dataset_dir``, so these
configs' guard looks at the very lists that are used. They are read while the config is resolved, before any
guard runs, and MONAI wraps every ``Exception`` raised there; a ``SystemExit`` passes.
"""

from __future__ import annotations

import os
from typing import Any

from custom_components.data.layouts import Item
from custom_components.data.lists import load_datalist


def listed_items(**arguments: Any) -> list[Item]:
    """`custom_components.data.load_datalist` (which see for arguments) for the use inside a config.

    Raises:
        SystemExit: with one line, where ``load_datalist`` raises; rank 0 alone says it.
    """
    try:
        return load_datalist(**arguments)
    except (ValueError, OSError) as error:
        line = "error: " + " ".join(str(error).split())
        raise SystemExit(line if int(os.environ.get("RANK", 0)) == 0 else 1) from None
