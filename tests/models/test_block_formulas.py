"""Each block's formula, computed a second time in the plainest way: loops over indices, no shared code."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mmfuse.models.blocks import hyper, mlp, monarch, pnlp, ramlp, strip, wave
from mmfuse.models.encoders import PatchStem


def _randomise(module: Any) -> Any:
    """Every parameter and running statistic off its special starting value; evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0, generator=generator)
    return module.eval()


def _layer_norm(v: Tensor, norm: Any) -> Tensor:
    centred = v - v.mean()
    return centred / math.sqrt(float((centred**2).mean()) + norm.eps) * norm.weight + norm.bias


def _gelu(v: Tensor) -> Tensor:
    return v * 0.5 * (1 + torch.erf(v / math.sqrt(2)))


def _feed_forward(v: Tensor, mlp_: Any) -> Tensor:
    return mlp_.narrow.weight @ _gelu(mlp_.widen.weight @ v + mlp_.widen.bias) + mlp_.narrow.bias


@torch.no_grad()
def test_patches_are_those_of_a_strided_convolution() -> None:
    stem = PatchStem(2, patch=3, dim=4)
    x = torch.randn(2, 2, 6, 9)

    tokens = stem(x)

    kernel = stem.project.weight.reshape(4, 2, 3, 3)
    expected = F.conv2d(x, kernel, stem.project.bias, stride=3).flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens, expected)


@torch.no_grad()
def test_mixer_block_mixes_each_channel_across_tokens_then_each_token_across_channels() -> None:
    tokens, dim = 3, 5
    block = _randomise(mlp.MixerBlock(tokens=tokens, dim=dim, token_hidden=4, channel_hidden=7, dropout=0.3))
    x = torch.randn(2, tokens, dim)

    y = block(x)

    for sample, result in zip(x, y, strict=True):
        normed = torch.stack([_layer_norm(token, block.token_norm) for token in sample])
        mixed = sample.clone()
        for channel in range(dim):
            mixed[:, channel] += _feed_forward(normed[:, channel], block.token_mixing)
        expected = torch.stack(
            [t + _feed_forward(_layer_norm(t, block.channel_norm), block.channel_mixing) for t in mixed]
        )
        torch.testing.assert_close(result, expected)


def test_dropout_of_a_mixer_block_acts_in_training_only() -> None:
    block = mlp.MixerBlock(tokens=3, dim=5, token_hidden=4, channel_hidden=7, dropout=0.5)
    x = torch.randn(1, 3, 5)

    assert not torch.equal(block(x), block(x))
    assert torch.equal(block.eval()(x), block(x))


@pytest.mark.parametrize(("length", "width"), [(4, 6), (3, 5), (1, 1), (7, 2)])
def test_the_position_table_alternates_sine_and_cosine_of_one_angle(length: int, width: int) -> None:
    table = hyper.position_table(length, width)

    for position in range(length):
        for i in range(width):
            angle = position / 10_000 ** (2 * (i // 2) / width)
            expected = math.sin(angle) if i % 2 == 0 else math.cos(angle)
            assert float(table[position, i]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("length", "width"), [(4, 6), (3, 5), (1, 1), (7, 2)])
def test_the_reference_position_table_starts_at_one_and_doubles_exponents(length: int, width: int) -> None:
    table = hyper.reference_position_table(length, width)

    for row in range(length):
        for i in range(0, width, 2):
            assert float(table[row, i]) == pytest.approx(math.sin((row + 1) / 10_000 ** (2 * i / width)), abs=1e-6)
            if i + 1 < width:
                cosine = math.cos((row + 1) / 10_000 ** (2 * (i + 1) / width))
                assert float(table[row, i + 1]) == pytest.approx(cosine, abs=1e-6)


def _generated(row: Tensor, network: Any) -> Tensor:
    """One token's weight row, (heads, hidden / heads)."""
    heads, share = network.first.shape[:2]
    parts = row.reshape(heads, share)
    return torch.stack([network.second[h] @ _gelu(network.first[h] @ parts[h]) for h in range(heads)])


def _hyper_mixing(x: Tensor, mixing: Any, table: Tensor, *, heads: int, scale: float) -> Tensor:
    """LN(GELU(V W1) W2^T) of one sample (N, E), head by head."""
    tokens, dim = x.shape
    share = dim // heads
    z = torch.stack([x[n] * scale + table[n] for n in range(tokens)])
    keys = torch.stack([_generated(row, mixing.key) for row in z])
    queries = torch.stack([_generated(row, mixing.query) for row in z])
    out = torch.zeros(tokens, dim)
    for h in range(heads):
        values = x[:, h * share : (h + 1) * share].T  # (E/h, N)
        out[:, h * share : (h + 1) * share] = (_gelu(values @ keys[:, h]) @ queries[:, h].T).T
    return torch.stack([_layer_norm(row, mixing.norm) for row in out])


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 2])
def test_the_paper_hyper_mixer_mixes_tokens_and_keeps_the_skip(heads: int) -> None:
    tokens, dim = 3, 4
    params = hyper.Params(token_hidden=6, channel_hidden=5, heads=heads)
    block = _randomise(hyper.HyperMixerBlock(params, tokens=tokens, dim=dim))
    x = torch.randn(2, tokens, dim)

    y = block(x)

    for sample, result in zip(x, y, strict=True):
        normed = torch.stack([_layer_norm(t, block.token_norm) for t in sample])
        mixed = sample + _hyper_mixing(
            normed, block.token_mixing, hyper.position_table(tokens, dim), heads=heads, scale=1
        )
        expected = torch.stack(
            [t + _feed_forward(_layer_norm(t, block.channel_norm), block.channel_mixing) for t in mixed]
        )
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 2])
def test_the_reference_hyper_mixer_mixes_channels_and_skips_from_the_input(heads: int) -> None:
    tokens, dim = 4, 6
    params = hyper.Params(channel_hidden=5, heads=heads, variant="reference")
    block = _randomise(hyper.ReferenceHyperMixerBlock(params, tokens=tokens, dim=dim))
    x = torch.randn(2, tokens, dim)

    y = block(x)

    table = hyper.reference_position_table(dim, tokens)
    for sample, result in zip(x, y, strict=True):
        swapped = torch.stack([_layer_norm(t, block.token_norm) for t in sample]).T
        mixed = sample + _hyper_mixing(swapped, block.token_mixing, table, heads=heads, scale=math.sqrt(tokens)).T
        expected = torch.stack(
            [
                s + _feed_forward(_layer_norm(m, block.channel_norm), block.channel_mixing)
                for s, m in zip(sample, mixed, strict=True)
            ]
        )
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_an_idle_channel_mlp_makes_the_reference_hyper_mixer_the_identity_but_not_the_paper_one() -> None:
    x = torch.randn(2, 4, 6)
    same = {}
    for name, block_type in {"paper": hyper.HyperMixerBlock, "reference": hyper.ReferenceHyperMixerBlock}.items():
        block = block_type(hyper.Params(token_hidden=4), tokens=4, dim=6).eval()
        block.channel_mixing.narrow.weight.data.zero_()
        block.channel_mixing.narrow.bias.data.zero_()
        same[name] = torch.equal(block(x), x)

    assert same == {"paper": False, "reference": True}


def test_a_paper_hyper_mixer_trained_on_one_length_runs_on_another() -> None:
    params = hyper.Params(token_hidden=4, channel_hidden=8, depth=1)
    short, long = hyper.network(params, tokens=4, dim=6), hyper.network(params, tokens=9, dim=6)

    long.load_state_dict(short.state_dict())

    assert long(torch.randn(2, 9, 6)).shape == (2, 9, 6)


def _dense_monarch(matrix: Any) -> Tensor:
    """The Monarch matrix written out: T R T L T."""
    s = matrix.side
    transpose = torch.zeros(s * s, s * s)
    for i in range(s):
        for j in range(s):
            transpose[j * s + i, i * s + j] = 1
    left, right = torch.block_diag(*matrix.left), torch.block_diag(*matrix.right)
    return transpose @ right @ transpose @ left @ transpose


@torch.no_grad()
@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_monarch_matrix_is_its_written_out_product(side: int) -> None:
    matrix = monarch.MonarchMatrix(side**2)
    x = torch.randn(2, 5, side**2)

    torch.testing.assert_close(matrix(x), x @ _dense_monarch(matrix).T)


@torch.no_grad()
@pytest.mark.parametrize("size", [2, 3, 5, 7, 8])
def test_a_monarch_matrix_of_another_order_is_a_corner_of_the_next_square(size: int) -> None:
    matrix = monarch.MonarchMatrix(size)
    x = torch.randn(4, size)

    torch.testing.assert_close(matrix(x), x @ _dense_monarch(matrix)[:size, :size].T)


@torch.no_grad()
def test_a_monarch_layer_mixes_tokens_by_a_kernel_and_channels_by_a_relu() -> None:
    tokens, dim = 4, 9
    layer = _randomise(monarch.MonarchMixerLayer(tokens=tokens, dim=dim, std=None))
    x = torch.randn(2, tokens, dim)

    y = layer(x)

    m1, m2, m3, m4 = (_dense_monarch(m) for m in (layer.token_in, layer.token_out, layer.channel_in, layer.channel_out))
    for sample, result in zip(x, y, strict=True):
        mixed = torch.stack([m2 @ (layer.token_kernel[d] * (m1 @ sample[:, d])) for d in range(dim)], dim=1)
        expected = torch.stack(
            [_layer_norm(m4 @ torch.relu(layer.channel_kernel[0] * (m3 @ t)) + t, layer.norm) for t in mixed]
        )
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_paper_monarch_matrix_keeps_the_scale_and_a_reference_one_multiplies_it_by_the_side() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 256)

    paper, reference = monarch.MonarchMatrix(256)(x).std(), monarch.MonarchMatrix(256, std=1.0)(x).std()

    assert 0.8 < float(paper) < 1.25
    assert 0.8 < float(reference) / 16 < 1.25


@torch.no_grad()
def test_a_reference_monarch_encoder_trims_what_is_no_square() -> None:
    params = monarch.Params(dim=None, depth=1, variant="reference")
    encoder = monarch.build(params, shape=(6, 11))
    x = torch.randn(2, 6, 11)
    beyond = x.clone()
    beyond[:, 4:] += 1
    beyond[:, :, 9:] += 1

    tokens = encoder(x)

    assert tokens.shape == (2, 4, 9)
    assert torch.equal(encoder(beyond), tokens)


@torch.no_grad()
@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_window_joins_neighbours_and_keeps_the_number_of_tokens(window: int) -> None:
    stem = pnlp.WindowStem(3, window=window, dim=4)
    x = torch.randn(2, 5, 3)

    tokens = stem(x)

    assert tokens.shape == (2, 5, 4)
    for n in range(5):
        neighbours = [x[:, n + o] if 0 <= n + o < 5 else torch.zeros(2, 3) for o in range(-window, window + 1)]
        torch.testing.assert_close(tokens[:, n], stem.project(torch.cat(neighbours, dim=1)))


def _batch_norm(x: Tensor, norm: Any) -> Tensor:
    """Evaluation-mode batch norm of (C, H, W)."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


@torch.no_grad()
@pytest.mark.parametrize(("side", "region", "group"), [(4, 2, 1), (4, 2, 4), (6, 3, 2), (2, 1, 8), (4, 4, 2)])
def test_region_mixing_multiplies_each_regions_values_by_one_matrix(side: int, region: int, group: int) -> None:
    dim, width, stride = 4, 8, side // region
    mixing = _randomise(ramlp.RegionMixing(dim, expansion=2, region=region, group=group))
    x = torch.randn(2, side, side, dim)

    y = mixing(x)

    for sample, result in zip(x, y, strict=True):
        value = torch.einsum("hwd,md->mhw", sample, mixing.value.weight)
        local = F.conv2d(value[None], mixing.local.conv.weight, padding=2, groups=width)[0]
        mixed = torch.zeros_like(local)
        for i in range(stride):
            for j in range(stride):
                for c in range(width // group):
                    places = [
                        (c * group + h, a * stride + i, b * stride + j)
                        for h in range(group)
                        for a in range(region)
                        for b in range(region)
                    ]
                    vector = torch.stack([local[place] for place in places]) / len(places)
                    for place, number in zip(places, mixing.shared.weight @ vector, strict=True):
                        mixed[place] = number
        gate = torch.einsum("hwd,md->mhw", sample, mixing.gate.weight)
        product = _batch_norm(mixed, mixing.value_norm.norm) * _batch_norm(gate, mixing.gate_norm.norm)
        expected = torch.einsum("mhw,dm->hwd", product, mixing.output.weight)
        torch.testing.assert_close(result, expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_region_aware_block_adds_position_regions_and_channels_with_scaled_skips() -> None:
    block = _randomise(ramlp.RaBlock(4, ratio=2, expansion=2, region=2, group=1, scales=True))
    x = torch.randn(2, 4, 4, 4)

    y = block(x)

    x = x + block.position(x)
    x = block.scales[0] * x + block.region_mixing(F.layer_norm(x, (4,), *_weights(block.region_norm), eps=1e-6))
    widen, star, narrow = block.channel_mixing
    hidden = F.layer_norm(x, (4,), *_weights(block.channel_norm), eps=1e-6) @ widen.weight.T
    expected = block.scales[1] * x + (star.scale * hidden.clamp(min=0) ** 2 + star.bias) @ narrow.weight.T
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def _weights(norm: Any) -> tuple[Tensor, Tensor]:
    return norm.weight, norm.bias


def _branch_weights(branches: list[Tensor], weigh: Any) -> list[Tensor]:
    """Softmax over the branches, per channel, of one sample's (C, H, W) maps."""
    first, _, second = weigh.mlp
    pooled = sum(branches, torch.zeros_like(branches[0])).mean((1, 2))
    scores = (second.weight @ _gelu(first.weight @ pooled + first.bias) + second.bias).reshape(-1, 3)
    exponents = scores.exp()
    return [exponents[:, k, None, None] / exponents.sum(1)[:, None, None] for k in range(3)]


@torch.no_grad()
@pytest.mark.parametrize("pairs_parts", [True, False])
def test_phase_aware_mixing_adds_waves_along_rows_and_columns(pairs_parts: bool) -> None:
    dim, height, width = 4, 5, 6
    mixing = _randomise(wave.PhaseAwareMixing(dim, phase="fc", pairs_parts=pairs_parts))
    x = torch.randn(2, dim, height, width)

    y = mixing(x)

    def conv1(image: Tensor, layer: Any) -> Tensor:
        out = torch.einsum("chw,dc->dhw", image, layer.weight[:, :, 0, 0])
        return out if layer.bias is None else out + layer.bias[:, None, None]

    def parts(amplitude: Tensor, phase: Tensor) -> list[Tensor]:
        cosines, sines = amplitude * phase.cos(), amplitude * phase.sin()
        if pairs_parts:
            return [torch.stack([cosines[d], sines[d]]) for d in range(dim)]
        everything = torch.cat([cosines, sines])
        return [everything[2 * d : 2 * d + 2] for d in range(dim)]

    for sample, result in zip(x, y, strict=True):
        branches = [torch.zeros(dim, height, width), torch.zeros(dim, height, width), conv1(sample, mixing.channel)]
        row_phase = _batch_norm(conv1(sample, mixing.row_phase[0]), mixing.row_phase[1]).relu()
        column_phase = _batch_norm(conv1(sample, mixing.column_phase[0]), mixing.column_phase[1]).relu()
        rows = parts(conv1(sample, mixing.row_amplitude), row_phase)
        columns = parts(conv1(sample, mixing.column_amplitude), column_phase)
        for d in range(dim):
            for r in range(height):
                for c in range(width):
                    for o in range(-3, 4):
                        if 0 <= c + o < width:
                            branches[0][d, r, c] += rows[d][:, r, c + o] @ mixing.row_mixing.weight[d, :, 0, o + 3]
                        if 0 <= r + o < height:
                            kernel = mixing.column_mixing.weight[d, :, o + 3, 0]
                            branches[1][d, r, c] += columns[d][:, r + o, c] @ kernel
        weights = _branch_weights(branches, mixing.weigh)
        weighed = sum((b * w for b, w in zip(branches, weights, strict=True)), torch.zeros_like(branches[0]))
        torch.testing.assert_close(result, conv1(weighed, mixing.output), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_strip_mixing_maps_each_row_and_its_neighbours_then_each_column() -> None:
    side, groups, channels = 3, 2, 2
    dim = groups * channels
    mixing = _randomise(strip.StripMixing(dim, side=side, groups=groups))
    x = torch.randn(1, dim, side, side)

    y = mixing(x)[0]

    def position(table: Tensor) -> Tensor:
        return torch.stack(
            [torch.stack([table[column - row + side] for column in range(side)]) for row in range(side)]
        ).permute(2, 0, 1)

    def strips(image: Tensor, conv: Any) -> Tensor:
        """Map row r - 1, r, r + 1 of channel (g, c) to row r, by the weights of c."""
        out = torch.zeros_like(image)
        for g in range(groups):
            for c in range(channels):
                d, weights = g * channels + c, slice(c * side, (c + 1) * side)
                for r in range(side):
                    out[d, r] = conv.bias[weights]
                    for o in (-1, 0, 1):
                        if 0 <= r + o < side:
                            out[d, r] += conv.weight[weights, :, 0, o + 1] @ image[d, r + o]
        return out

    def fuse(first: Tensor, second: Tensor, conv: Any) -> Tensor:
        return torch.einsum("chw,dc->dhw", torch.cat([first, second]), conv.weight[:, :, 0, 0])

    rows = strips(x[0] + position(mixing.row_position.table), mixing.rows)
    rows = _gelu(_batch_norm(fuse(rows, x[0], mixing.row_fuse), mixing.norm))
    rows = rows + position(mixing.column_position.table)
    columns = strips(rows.transpose(1, 2), mixing.columns).transpose(1, 2)
    torch.testing.assert_close(y, fuse(x[0], columns, mixing.column_fuse), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_response_normalisation_compares_channels_by_their_norm_over_the_map() -> None:
    norm = _randomise(strip.ResponseNorm(3))
    x = torch.randn(1, 2, 2, 3)

    y = norm(x)

    responses = [float((x[0, :, :, c] ** 2).sum()) ** 0.5 for c in range(3)]
    for c in range(3):
        relative = responses[c] / (sum(responses) / 3 + 1e-6)
        expected = x[..., c] + norm.gamma[c] * x[..., c] * relative + norm.beta[c]
        torch.testing.assert_close(y[..., c], expected)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = strip.DropPath(0.25)

    y = drop(torch.ones(8000, 2, 3))

    assert torch.equal(y.amin((1, 2)), y.amax((1, 2)))
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert float(y.mean()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(torch.ones(3, 2)), torch.ones(3, 2))


@pytest.mark.parametrize(("block", "tokens"), [(ramlp, (16, 4)), (wave, (16, 1))])
def test_the_paper_variant_keeps_every_pixel_and_the_reference_pools(block: Any, tokens: tuple[int, int]) -> None:
    encoders = {}
    for variant in ("paper", "reference"):
        torch.manual_seed(0)
        sizes = {"dims": (8,), "depths": (1,), "mlp_ratios": (1,)}
        sizes |= {"expansions": (1,), "regions": (2,), "groups": (1,)} if block is ramlp else {}
        encoders[variant] = block.build(block.Params(**sizes, variant=variant), shape=(1, 16, 16)).eval()

    assert (encoders["paper"].tokens, encoders["reference"].tokens) == tokens
    if block is ramlp:
        x = torch.randn(2, 1, 16, 16)
        pixels = encoders["paper"](x).unflatten(1, (4, 4))
        torch.testing.assert_close(encoders["reference"](x), pixels.mean(1))
