"""How pretrained tensors reach a segmentation network, and the report of which did and which did not."""

from .cards import (
    card_path,
    compare_networks,
    compare_views,
    file_sha256,
    provenance,
    read_card,
    trained_prefixes,
    write_card,
)
from .load import check_pretrained, load_pretrained
from .match import INPUT_LAYERS, TransferReport, match
from .positions import resize_positions
from .read import differing_tensors, load_torch_file, read_resume_checkpoint, read_weights

__all__ = [
    "INPUT_LAYERS",
    "TransferReport",
    "card_path",
    "check_pretrained",
    "compare_networks",
    "compare_views",
    "differing_tensors",
    "file_sha256",
    "load_pretrained",
    "load_torch_file",
    "match",
    "provenance",
    "read_card",
    "read_resume_checkpoint",
    "read_weights",
    "resize_positions",
    "trained_prefixes",
    "write_card",
]
