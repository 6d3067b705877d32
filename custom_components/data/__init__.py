"""Data lists, the layouts of real data sets, and how their files are read."""

from custom_components.data.channels import check_channel_names
from custom_components.data.foreground import stored_foreground
from custom_components.data.labelled import LabelledCrop, draw_voxels, labelled_crops, probe_cases
from custom_components.data.leaks import check_no_leak
from custom_components.data.list_hash import datalist_hash
from custom_components.data.lists import DataList
from custom_components.data.reader import AlignLabeld, LabelReader, VolumeReader
from custom_components.data.resampling import AxisSpacingd
from custom_components.data.views import TwoViewsd
from custom_components.data.volumes import read_label, read_volume

__all__ = [
    "AlignLabeld",
    "AxisSpacingd",
    "DataList",
    "LabelReader",
    "LabelledCrop",
    "TwoViewsd",
    "VolumeReader",
    "check_channel_names",
    "check_no_leak",
    "datalist_hash",
    "draw_voxels",
    "labelled_crops",
    "probe_cases",
    "read_label",
    "read_volume",
    "stored_foreground",
]
