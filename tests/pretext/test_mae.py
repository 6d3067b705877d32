from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.losses import CombinedLoss
from custom_components.pretext import MAE
from custom_components.pretext.mae import visible_tokens

SIZE = (64, 32, 32)


def image_and_mask(masked, batch=1, seed=0):
    """A batch whose samples mask the first ``masked[i]`` of a shuffled order of 16 patches."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, 1, *SIZE, generator=generator)
    ranks = torch.stack([torch.randperm(16, generator=generator) for _ in range(batch)])
    return image, (ranks < torch.tensor(masked)[:, None]).reshape(batch, 1, 4, 2, 2)


def make(make_network, name="UNETR", **keys):
    torch.manual_seed(0)
    return MAE(make_network(name), 16, **{"decoder_width": 24, "decoder_heads": 2, **keys}).eval()


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4))
def test_visible_tokens_are_listed_in_order_and_padding_is_marked(rows):
    masked = torch.tensor(rows)
    keep, present = visible_tokens(masked)
    for number, row in enumerate(rows):
        expected = [place for place, is_masked in enumerate(row) if not is_masked]
        listed = keep[number] if present is None else keep[number][present[number]]
        assert listed.tolist() == expected
        assert len(set(keep[number].tolist())) == keep.shape[1]
    assert keep.shape[1] == max(1, *((~masked).sum(1).tolist()))


@pytest.mark.parametrize("name", ["UNETR", "UNETRPatch8"])
def test_encoder_sees_the_visible_tokens_alone(name, make_network, monkeypatch):
    pretext = make(make_network, name)
    lengths = []
    for block in pretext.network.vit.blocks:
        block.register_forward_hook(lambda _, given, __: lengths.append(given[0].shape[1]))
    image, mask = image_and_mask([12, 12], batch=2)
    pretext(image, mask)
    tokens = 16 * (16 // pretext.token_size) ** 3
    assert lengths == [tokens // 4] * 12


def test_unequal_numbers_of_visible_tokens_give_what_each_sample_gives_alone(make_network):
    pretext = make(make_network)
    image, mask = image_and_mask([4, 13, 16], batch=3)
    with torch.no_grad():
        together = pretext(image, mask)["reconstruction"]
        alone = [pretext(image[i : i + 1], mask[i : i + 1])["reconstruction"][0] for i in range(3)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_a_masked_sample_in_a_batch_leaks_nothing_of_its_image(make_network):
    pretext = make(make_network)
    image, mask = image_and_mask([4, 16], batch=2)
    other = image.clone()
    other[1] = torch.randn_like(other[1])
    with torch.no_grad():
        assert torch.equal(pretext(image, mask)["reconstruction"], pretext(other, mask)["reconstruction"])


def test_decoder_equals_a_slow_loop_over_tokens(make_network):
    pretext = make(make_network, decoder_depth=2)
    image, mask = image_and_mask([10])
    masked = mask.flatten().tolist()
    decoder, vit = pretext.decoder, pretext.network.vit
    with torch.no_grad():
        tokens = vit.patch_embedding(image)  # every token embedded, with its position
        x = torch.stack([tokens[0, i] for i in range(16) if not masked[i]])[None]
        for block in vit.blocks:
            x = block(x)
        x = decoder.embed(vit.norm(x))
        sequence, visible = [], iter(x[0])
        for i in range(16):
            token = decoder.token[0, 0] if masked[i] else next(visible)
            sequence.append(token + decoder.positions[0, i])
        y = torch.stack(sequence)[None]
        for block in decoder.blocks:
            y = block(y)
        voxels = pretext.head.linear(decoder.norm(y))[0]
        reconstruction = torch.zeros(SIZE)
        for i in range(16):
            d, h, w = i // 4, i // 2 % 2, i % 2
            cut = slice(16 * d, 16 * d + 16), slice(16 * h, 16 * h + 16), slice(16 * w, 16 * w + 16)
            reconstruction[cut] = voxels[i].reshape(16, 16, 16)
        found = pretext(image, mask)["reconstruction"][0, 0]
    torch.testing.assert_close(found, reconstruction, rtol=1e-4, atol=1e-5)


def test_patches_of_several_tokens_mask_all_of_them(make_network):
    torch.manual_seed(0)
    pretext = MAE(make_network("UNETRPatch8"), 16, decoder_width=24, decoder_heads=2)
    image, mask = image_and_mask([15])
    lengths = []
    pretext.network.vit.blocks[0].register_forward_hook(lambda _, given, __: lengths.append(given[0].shape[1]))
    outputs = pretext(image, mask)
    assert lengths == [8]  # the one visible unit has 2 x 2 x 2 tokens
    assert outputs["reconstruction_mask"].sum() == 15 * 16**3


def test_final_norm_is_trained(make_network):
    pretext = make(make_network).train()
    image, mask = image_and_mask([12])
    CombinedLoss({"reconstruction": 1.0})(pretext(image, mask))["loss"].backward()
    assert pretext.network.vit.norm.weight.grad.abs().max() > 0


def test_sincos_positions_are_fixed_in_encoder_and_decoder(make_network):
    learned, fixed = make(make_network), make(make_network, positions="sincos")
    for pretext, trained in ((learned, True), (fixed, False)):
        assert pretext.network.vit.patch_embedding.position_embeddings.requires_grad == trained
        assert pretext.decoder.positions.requires_grad == trained
    one = fixed.network.vit.patch_embedding.position_embeddings
    assert one.shape == learned.network.vit.patch_embedding.position_embeddings.shape
    assert len({tuple(row) for row in one[0].tolist()}) == 16, "every token has a position of its own"
