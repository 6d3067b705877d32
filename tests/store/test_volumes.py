"""Scaling a crop that was read from a store."""

from __future__ import annotations

import pytest
import torch
from monai.transforms.intensity.array import ScaleIntensityRange

from custom_components.store.volumes import scale_range


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (None, None), (None, 1.0)])
@pytest.mark.parametrize("clip", [True, False])
def test_a_range_is_scaled_as_monai_scales_it(limits: tuple[float | None, float | None], clip: bool) -> None:
    if clip and limits == (None, None):
        pytest.skip("MONAI does not clip without limits")
    image = 800 * torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    image[0, 0, 0] = torch.tensor([-175.0, 250.0, 0.0, -0.0])
    scaler = ScaleIntensityRange(-175.0, 250.0, *limits, clip=clip)
    expected = torch.as_tensor(scaler(image.clone()))
    found = scale_range(scaler, image)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


def test_a_range_without_width_and_other_types_are_left_to_monai() -> None:
    image = torch.tensor([[[[1.0, 2.0]]]])
    with pytest.warns(Warning, match="zero"):
        assert torch.equal(scale_range(ScaleIntensityRange(1.0, 1.0, 0.0, 1.0), image), image - 1)
    doubled = scale_range(ScaleIntensityRange(0.0, 2.0, dtype=torch.float64), torch.tensor([[[[1.0, 2.0]]]]))
    assert doubled.dtype == torch.float64
    assert doubled.flatten().tolist() == [0.5, 1.0]
