"""The loss terms of HybridMIM with their weights: all, and those that validation has too."""

from __future__ import annotations

WEIGHTS = {"reconstruction": 1.0, "count": 0.1, "position": 0.1, "consistency": 0.01, "contrast": 0.1}
PLAIN = {k: v for k, v in WEIGHTS.items() if k != "contrast"}
