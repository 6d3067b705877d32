"""How pretrained tensors reach a segmentation network, and the report of what did and did not."""

from .cards import (
    CARD_SUFFIX,
    card_path,
    compare_networks,
    compare_views,
    file_sha256,
    provenance,
    read_card,
    trained_prefixes,
    write_card,
    write_json,
)
from .load import check_pretrained, load_pretrained
from .match import INPUT_LAYERS, TransferReport, match
from .positions import resize_positions
from .read import read_weights

__all__ = [
    "CARD_SUFFIX",
    "INPUT_LAYERS",
    "TransferReport",
    "card_path",
    "check_pretrained",
    "compare_networks",
    "compare_views",
    "file_sha256",
    "load_pretrained",
    "match",
    "provenance",
    "read_card",
    "read_weights",
    "resize_positions",
    "trained_prefixes",
    "write_card",
    "write_json",
]
