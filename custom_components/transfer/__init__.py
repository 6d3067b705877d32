"""How pretrained tensors reach a segmentation network, and the report of which did and which did not."""

from .cards import (
    card_content,
    card_path,
    compare_networks,
    compare_views,
    file_sha256,
    git_commit,
    plain,
    provenance,
    read_card,
    trained_prefixes,
    write_card,
)
from .fetch import fetch_weights, weights_file, weights_sha256
from .load import check_pretrained, load_pretrained
from .match import match
from .positions import resize_positions
from .read import differing_tensors, load_torch_file, read_resume_checkpoint, read_weights
from .report import TransferReport

__all__ = [
    "TransferReport",
    "card_content",
    "card_path",
    "check_pretrained",
    "differing_tensors",
    "fetch_weights",
    "load_pretrained",
    "load_torch_file",
    "match",
    "plain",
]
__all__ += ["compare_networks", "compare_views", "file_sha256", "git_commit", "provenance", "read_card"]
__all__ += ["read_resume_checkpoint", "read_weights", "resize_positions", "trained_prefixes", "write_card"]
__all__ += ["weights_file", "weights_sha256"]
