"""Data lists, the layouts of real data sets, and checks on their files."""

from custom_components.data.budget import check_disk, check_memory, estimate_cache_bytes
from custom_components.data.channels import check_channel_names
from custom_components.data.checks import check_images, check_labels
from custom_components.data.lists import datalist_hash, listed_channels, listed_labels, load_datalist
from custom_components.data.prepare import prepare_datalist
from custom_components.data.sections import check_no_leak
from custom_components.data.views import TwoViewsd

__all__ = [
    "TwoViewsd",
    "check_channel_names",
    "check_disk",
    "check_images",
    "check_labels",
    "check_memory",
    "check_no_leak",
    "datalist_hash",
    "estimate_cache_bytes",
    "listed_channels",
    "listed_labels",
    "load_datalist",
    "prepare_datalist",
]
