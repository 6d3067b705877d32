"""Data lists, the layouts of real data sets, and how their files are read."""

from custom_components.data.channels import check_channel_names
from custom_components.data.lists import DataList, datalist_hash
from custom_components.data.sections import check_no_leak
from custom_components.data.views import TwoViewsd

__all__ = [
    "DataList",
    "TwoViewsd",
    "check_channel_names",
    "check_no_leak",
    "datalist_hash",
]
