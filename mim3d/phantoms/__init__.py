"""Seeded synthetic volumes (phantoms) for learning and for tests: abdominal CT, MRI of brain and hippocampus."""

from mim3d.phantoms.cases import KINDS, SIZES, Case, make_case
from mim3d.phantoms.dataset import split_counts, write_phantoms

__all__ = ["KINDS", "SIZES", "Case", "make_case", "split_counts", "write_phantoms"]
