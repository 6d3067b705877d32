"""``mim3d convert``: DICOM series, NRRD and MetaImage become NIfTI files.

SimpleITK reads all three formats, compressed DICOM too. It is an extra, not a dependency of training: what trains,
and what a released bundle carries, needs nibabel alone.
"""
