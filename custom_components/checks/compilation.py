"""Check: can torch.compile work here, if it is asked for?"""

from __future__ import annotations

import importlib.util
import os
import shutil

import torch

#: What torch.compile calls to build its kernels.
COMPILERS = ("g++", "clang++", "c++", "cl")


class Compilation:
    """``compile`` needs a C++ compiler, and on a GPU Triton as well; torch says so only in the first step.

    Args:
        compile: whether the network is compiled.
        device: where it is.
    """

    def __init__(self, compile: bool, device: torch.device | str) -> None:
        self.compile, self.device = compile, torch.device(device)

    def __call__(self) -> str | None:
        """Return what is compiled; raise ValueError if a tool is missing."""
        if not self.compile:
            return None
        if not os.environ.get("CXX") and not any(map(shutil.which, COMPILERS)):
            raise ValueError(
                f"compile is True, but there is no C++ compiler ({', '.join(COMPILERS)}): install one, name it in "
                "the environment variable CXX, or leave out --compile"
            )
        if self.device.type == "cuda" and importlib.util.find_spec("triton") is None:
            raise ValueError(
                "compile is True, but Triton is not installed: pip install triton, or leave out --compile"
            )
        return "compiled by torch.compile; the first step takes minutes"
