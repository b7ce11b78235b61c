"""SpectraMind: its parts against what they say they are, a task that each encoder must solve, and all its variants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from architecture_scenes import small_model
from huggingface_hub.errors import StrictDataclassError
from spectrum_scenes import CHANNELS, PLANETS, VISITS, features, prepared
from torch import Tensor, nn

from modeling_ariel import SpectraMind, SpectraMindConfig
from modeling_ariel.feature_extraction_ariel import ariel_wavelength
from modeling_ariel.penalties import in_units, quantile_order
from modeling_ariel.spectramind_graph import EDGE_FEATURES, RELATIONS, SEAMS, WavelengthGraph, absorbing
from modeling_ariel.spectramind_layers import EdgeMatrices, GraphAttention, RelationMatrices
from modeling_ariel.spectramind_nodes import BANDS, ChannelEncoder, statistics
from modeling_ariel.spectramind_sigma import Q90, FlowSigma, FreeQuantileSigma, QuantileSigma
from modeling_ariel.spectramind_time import StateSpace, StepEncoder, StepPool, StepTransformer, jittered

CURVES = ("light_curve", "valid", "time", "centroid", "star_features")
VARIANTS: list[dict[str, Any]] = [
    {"bidirectional": True, "fgs1_layers": 2},
    {"fgs1_encoder": "transformer"},
    {"airs_encoder": "nnconv"},
    {"airs_encoder": "rgcn", "airs_layers": 2},
    {"airs_encoder": "none"},
    {"fusion": "cross_attention"},
    {"fusion": "gate"},
    {"sigma_head": "quantiles"},
    {"sigma_head": "free_quantiles"},
    {"sigma_head": "flow"},
    {"scales": []},
    {"scales": [8], "molecule_neighbours": 0, "seams": []},
]


def predict(model: Any, batch: dict[str, Tensor], **wanted: Any) -> Any:
    with torch.no_grad():
        return model(**batch, **wanted)


def small_graph() -> WavelengthGraph:
    return WavelengthGraph([0.7, *np.linspace(1.95, 3.9, 24)], 4, 3, list(SEAMS))


# --- the model -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [VARIANTS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in VARIANTS[1:])], ids=str
)
def test_each_variant_starts_at_the_posterior_trains_every_weight_and_can_be_exported(changes: dict[str, Any]) -> None:
    batch = prepared()
    start = predict(small_model("spectramind", **changes), batch)
    torch.testing.assert_close(start.mean.double(), batch["classical_mean"].double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(start.sigma.double(), batch["classical_sigma"].double(), rtol=1e-5, atol=0)
    model = small_model("spectramind", stirred=0.02, **changes).train()
    model(**batch).loss.backward()
    assert not [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    alone = small_model("spectramind", stirred=0.02, physics="none", **changes)
    curves = {key: value for key, value in features().items() if key in CURVES}
    program = torch.export.export(alone, (), kwargs=curves).module()
    torch.testing.assert_close(program(**curves).mean, predict(alone, curves).mean, rtol=1e-5, atol=1e-9)


def test_at_its_default_sizes_it_is_small() -> None:
    model = SpectraMind(SpectraMindConfig())
    assert 200_000 < sum(p.numel() for p in model.parameters()) < 1_000_000
    assert sum(value.numel() * value.element_size() for value in model.state_dict().values()) < 3e6


@pytest.mark.parametrize("changes", [{}, *VARIANTS[:6]], ids=str)
def test_bins_without_data_at_the_end_change_nothing(changes: dict[str, Any]) -> None:
    model, batch = small_model("spectramind", stirred=0.02, **changes), prepared()
    out, longer = predict(model, batch), dict(batch)
    step = batch["time"][:, -1:] - batch["time"][:, -2:-1]
    longer["time"] = torch.cat([batch["time"], batch["time"][:, -1:] + step * torch.arange(1, 8)], 1)
    for key in ("light_curve", "valid", "centroid", "residual"):
        longer[key] = torch.cat([batch[key], torch.zeros_like(batch[key][:, :7])], 1)
    torch.testing.assert_close(predict(model, longer).mean, out.mean, rtol=1e-5, atol=1e-9)


def test_a_visit_is_read_once_whatever_the_draws() -> None:
    model, batch = small_model("spectramind"), prepared()
    read: list[int] = []
    for part in (model.fgs1, model.airs):
        part.register_forward_hook(lambda module, given, found: read.append(len(given[0])))
    draws = {key: value.repeat_interleave(3, 0) for key, value in batch.items() if key.startswith("classical_")}
    out = predict(model, batch | draws | {"labels": batch["labels"].repeat_interleave(3, 0)})
    assert len(out.mean) == 3 * PLANETS
    assert read == [len(VISITS), len(VISITS)]


def test_a_visit_without_any_data_has_an_answer() -> None:
    for changes in ({}, {"fgs1_encoder": "transformer", "fusion": "cross_attention"}):
        batch = prepared()
        batch["valid"] = batch["valid"].clone()
        batch["valid"][0] = False
        model = small_model("spectramind", stirred=0.02, **changes).train()
        out = model(**batch)
        out.loss.backward()
        assert torch.isfinite(out.mean).all()
        assert all(torch.isfinite(weight.grad).all() for weight in model.parameters())


def test_maps_show_what_channels_and_times_were_looked_at() -> None:
    model = small_model("spectramind", stirred=0.02, fusion="cross_attention", sigma_head="flow", airs_layers=2)
    batch = prepared()
    out = predict(model, batch, output_attentions=True, output_hidden_states=True)
    looked, bins = out.maps["wavelength_attention"], batch["time"].shape[1]
    assert looked.shape == (len(VISITS), CHANNELS, CHANNELS)
    torch.testing.assert_close(looked.sum(-1), torch.ones(len(VISITS), CHANNELS))
    assert torch.equal((looked > 0).any(0), model.airs.graph.matrix(model.airs.graph.kept.float()) > 0)
    assert [one.shape for one in out.attentions] == [(len(VISITS), 2, CHANNELS, CHANNELS)] * 2
    torch.testing.assert_close(out.attentions[-1].mean(1), looked)
    torch.testing.assert_close(out.maps["fgs1_attention"].sum(-1), torch.ones(len(VISITS)))
    assert out.maps["fgs1_latents"].shape == (len(VISITS), bins, 16)
    assert out.maps["fusion_attention"].shape == (len(VISITS), CHANNELS, bins)
    assert out.maps["sigma_skew"].shape == (PLANETS, CHANNELS)
    assert [len(one) for one in out.hidden_states] == [len(VISITS)] * 3


def test_coarse_spectra_are_smooth_and_each_scale_adds_to_them() -> None:
    model, batch = small_model("spectramind", stirred=0.5), prepared()
    seen = {}
    model.decoder.register_forward_hook(lambda module, given, found: seen.update(means=found[0]))
    predict(model, batch)
    coarse, mid, fine = seen["means"][..., 1:].unbind(1)  # of AIRS
    bends = [float(one.diff(n=2).abs().gt(1e-6).float().mean()) for one in (coarse, mid, fine)]
    assert bends[0] < bends[1] < bends[2]
    assert not seen["means"][:, :2, 0].any()  # FGS1 has no neighbours
    assert seen["means"][:, 2, 0].all()


def test_coarse_spectra_and_sigma_heads_have_losses_of_their_own() -> None:
    batch = prepared()
    for name, head in (
        ("scale_loss_weight", "softplus"),
        ("sigma_loss_weight", "flow"),
        ("sigma_loss_weight", "quantiles"),
    ):
        others = {"scale_loss_weight": 0.0, "sigma_loss_weight": 0.0, "sigma_head": head}
        losses = [
            float(predict(small_model("spectramind", stirred=0.1, **(others | {name: weight})), batch).loss)
            for weight in (0.0, 1.0, 2.0)
        ]
        assert losses[1] != pytest.approx(losses[0], abs=1e-3)
        assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)


def test_centroids_are_jittered_in_training_alone() -> None:
    model, batch = small_model("spectramind", stirred=0.2, hidden_dropout_prob=0.0, jitter_augmentation=1.0), prepared()
    assert torch.equal(predict(model, batch).mean, predict(model, batch).mean)
    assert not torch.equal(predict(model.train(), batch).mean, predict(model, batch).mean)
    centroid = torch.ones(2, 5, 4)
    centroid[:, 2:] = 0.0  # unknown
    found = jittered(centroid, 0.1)
    assert not found[:, 2:].any()
    assert 0.01 < float((found - centroid)[:, :2].std()) < 0.3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion": "sum"}, "fusion: expected one of concat, cross_attention, gate, found 'sum'"),
        ({"airs_encoder": "gcn"}, "airs_encoder: expected one of gat, nnconv, rgcn, none, found 'gcn'"),
        ({"hidden_size": 30}, "hidden_size: expected a multiple of num_attention_heads = 4, found 30"),
        ({"scales": [4, 16]}, r"scales: expected 2 or more channels, coarse first, found \[4, 16\]"),
        ({"seams": [3.0, 1.0]}, "seams: expected um, ascending"),
        ({"neighbours": 0}, "neighbours: expected 1 or more, found 0"),
        ({"jitter_augmentation": -1.0}, "jitter_augmentation: expected 0 or more, found -1.0"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        SpectraMindConfig(**settings)


# --- the graph -----------------------------------------------------------------------------------------------------


def test_channels_look_at_neighbours_molecules_and_over_the_seam() -> None:
    where = np.array(ariel_wavelength())
    graph = WavelengthGraph(where.tolist(), 8, 6, list(SEAMS))
    inside = absorbing(where)
    for i, (places, kept, edges) in enumerate(zip(graph.neighbours, graph.kept, graph.edges, strict=True)):
        chosen, edges = places[kept].numpy(), edges[kept].numpy()
        assert len(set(chosen)) == len(chosen)
        assert chosen[0] == i
        near, molecule, seam = (chosen[edges[:, -3 + k] > 0] for k in range(3))
        np.testing.assert_array_equal(edges[:, -3:].sum(1), 1.0)
        nearest = np.argsort(np.abs(where - where[i]) + 10.0 * ((where < 1.0) != (where[i] < 1.0)), kind="stable")
        assert set(near) == ({0} if i == 0 else set(nearest[:9]))
        assert len(molecule) == (6 if inside[i].any() else 0)
        assert (inside[molecule] & inside[i]).any(-1).all()
        assert set(seam) == ({1, 2, 3, 4} if i == 0 else {0} if i <= 4 else set())
        np.testing.assert_array_equal(edges[:, 2:-3] > 0, inside[chosen] & inside[i])
        np.testing.assert_allclose(np.sinh(edges[:, 0]) * 0.1, where[chosen] - where[i], atol=1e-6)
    assert not graph.edges[~graph.kept].any()


def by_edge(layer: Any, nodes: Tensor, graph: WavelengthGraph) -> Tensor:
    """What a layer says of nodes (C, B, W), edge by edge."""
    found = torch.zeros_like(nodes)
    for i in range(len(nodes)):
        pairs = [(int(j), graph.edges[i, k]) for k, j in enumerate(graph.neighbours[i]) if graph.kept[i, k]]
        for b in range(nodes.shape[1]):
            if isinstance(layer, GraphAttention):
                width, heads = nodes.shape[-1], layer.heads
                for head, part in enumerate(torch.arange(width).chunk(heads)):
                    scores, values = [], []
                    for j, edge in pairs:
                        source = layer.source.weight @ nodes[j, b] + layer.source.bias
                        both = source + layer.target.weight @ nodes[i, b] + layer.target.bias + layer.edge.weight @ edge
                        both = torch.where(both > 0, both, 0.2 * both)[part]
                        scores.append(torch.exp(both @ layer.attention[head]))
                        values.append(source[part])
                    total = sum(scores)
                    found[i, b, part] = sum(s / total * v for s, v in zip(scores, values, strict=True))
                found[i, b] += layer.bias
            elif isinstance(layer, EdgeMatrices):
                bases = layer.bases.weight.chunk(4, 1)
                told = torch.zeros_like(nodes[i, b])
                for j, edge in pairs:
                    matrix = sum(share * base for share, base in zip(layer.mix(edge), bases, strict=True))
                    told = told + matrix @ nodes[j, b] / len(pairs)
                found[i, b] = layer.root(nodes[i, b]) + told
            else:
                found[i, b] = layer.root(nodes[i, b])
                for relation, matrix in enumerate(layer.relations.weight.chunk(len(RELATIONS), 1)):
                    others = [j for j, edge in pairs if edge[relation - len(RELATIONS)]]
                    if others:
                        found[i, b] += matrix @ nodes[others, b].mean(0)
    return found


@pytest.mark.parametrize(
    "layer", [GraphAttention(12, 3), EdgeMatrices(12), RelationMatrices(12)], ids=lambda one: type(one).__name__
)
def test_a_layer_over_the_graph_is_what_it_is_edge_by_edge(layer: nn.Module) -> None:
    torch.manual_seed(1)
    graph, nodes = small_graph(), torch.randn(25, 2, 12)
    with torch.no_grad():
        torch.testing.assert_close(layer(nodes, graph)[0], by_edge(layer, nodes, graph), rtol=1e-4, atol=1e-5)


def test_graph_attention_is_that_of_torch_geometric() -> None:
    geometric = pytest.importorskip("torch_geometric.nn")
    graph, nodes, layer = small_graph(), torch.randn(25, 1, 12), GraphAttention(12, 3)
    other = geometric.GATv2Conv(12, 4, heads=3, edge_dim=EDGE_FEATURES, add_self_loops=False)
    with torch.no_grad():
        for name, part in (("lin_l", layer.source), ("lin_r", layer.target)):
            getattr(other, name).weight.copy_(part.weight)
            getattr(other, name).bias.copy_(part.bias)
        other.lin_edge.weight.copy_(layer.edge.weight)
        other.att.copy_(layer.attention[None])
        other.bias.copy_(layer.bias)
        target, place = graph.kept.nonzero().T
        edges = torch.stack([graph.neighbours[target, place], target])
        expected = other(nodes[:, 0], edges, graph.edges[target, place])
        torch.testing.assert_close(layer(nodes, graph)[0][:, 0], expected, rtol=1e-4, atol=1e-5)


# --- light curves as numbers ---------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_valid_bins() -> None:
    rng = np.random.default_rng(0)
    light = rng.standard_normal((2, 60, 3)) ** 3 + 1.0
    valid = rng.random((2, 60, 3)) > 0.3
    valid[0, 48:] = False  # a shorter visit
    valid[0, 47, 0] = True
    found = statistics(torch.tensor(np.where(valid, light, 0.0)), torch.tensor(valid), 6).numpy()
    for b, length in enumerate((48, 60)):
        for c in range(3):
            kept = light[b, valid[b, :, c], c]
            away = kept - kept.mean()
            moments = [
                kept.mean(),
                np.log(kept.std()),
                np.arcsinh((away**3).mean() / kept.std() ** 3),
                len(kept) / length,
            ]
            np.testing.assert_allclose(found[b, c, :4], moments, rtol=1e-4, atol=1e-5)
            parts = [
                light[b, i : i + length // 6, c][valid[b, i : i + length // 6, c]]
                for i in range(0, length, length // 6)
            ]
            np.testing.assert_allclose(found[b, c, 4 + BANDS :], [part.mean() for part in parts], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("cycles", "octave"), [(0.4, 5), (0.2, 4), (0.1, 3), (0.05, 2), (0.024, 1), (0.012, 0)])
def test_a_wave_is_seen_in_its_octave_and_white_noise_in_all(cycles: float, octave: int) -> None:
    bins = torch.arange(375.0)
    wave = torch.sin(2.0 * torch.pi * cycles * bins)[None, :, None]
    valid = torch.ones_like(wave, dtype=torch.bool)
    assert int(statistics(wave, valid, 4)[0, 0, 4 : 4 + BANDS].argmax()) == octave
    noise = torch.randn(1, 375, 200, generator=torch.Generator().manual_seed(0))
    power = statistics(noise, noise < 1e9, 4)[0, :, 4 : 4 + BANDS].exp().mean(0)
    torch.testing.assert_close(power, torch.ones(BANDS), rtol=0.15, atol=0.0)


# --- encoders ------------------------------------------------------------------------------------------------------


def step_encoder(kind: str) -> tuple[StepEncoder, StepPool]:
    torch.manual_seed(0)
    sequence: nn.Module = StepTransformer(16, 2, 2, 0.0)
    if kind != "transformer":
        sequence = StateSpace(16, 2, 2, 8, bidirectional=kind == "both ways")
    return StepEncoder(16, sequence, 0.0), StepPool(16, 2)


def latents(encoder: StepEncoder, light: Tensor, used: Tensor) -> Tensor:
    time = torch.arange(light.shape[1]).expand_as(light) * 0.1
    found: Tensor = encoder(light, used, torch.zeros(*light.shape, 4), time, used)
    return found


@pytest.mark.parametrize(("kind", "before"), [("mamba", False), ("both ways", True), ("transformer", True)])
def test_a_state_space_knows_the_past_and_read_both_ways_also_the_future(kind: str, before: bool) -> None:
    encoder, light = step_encoder(kind)[0], torch.randn(1, 40)
    used, changed = torch.ones(1, 40, dtype=torch.bool), light.clone()
    changed[0, 20] += 1.0
    with torch.no_grad():
        moved = (latents(encoder, changed, used) - latents(encoder, light, used)).abs().amax(-1)[0]
    assert float(moved[30]) > 1e-6
    assert bool((moved[:20] > 1e-6).any()) == before


@pytest.mark.parametrize(
    "kind", ["mamba", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("both ways", "transformer"))]
)
def test_fgs1_encoder_finds_the_depth_of_a_dip_of_unknown_time(kind: str) -> None:
    encoder, pool = step_encoder(kind)
    last = nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*encoder.parameters(), *pool.parameters(), *last.parameters()], lr=5e-3)
    used, generator = torch.ones(64, 48, dtype=torch.bool), torch.Generator().manual_seed(0)
    errors = []
    for _ in range(160):
        depth = 1.0 + 3.0 * torch.rand(64, 1, generator=generator)
        middle = 10.0 + 28.0 * torch.rand(64, 1, generator=generator)
        width = 3.0 + 4.0 * torch.rand(64, 1, generator=generator)
        dip = ((torch.arange(48.0) - middle).abs() < width).float() * depth
        light = -dip + 0.3 * torch.randn(64, 48, generator=generator)
        found = last(pool(latents(encoder, light, used), used)[0])
        loss = (found - depth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    assert np.mean(errors[-20:]) < 0.06 * 9.0 / 12.0  # of the variance of depths; curves are new at every step


@pytest.mark.parametrize(
    "kind", ["gat", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("nnconv", "rgcn")), "none"]
)
def test_airs_encoder_finds_which_molecules_band_is_bright(kind: str) -> None:
    """A channel alone is too noisy to tell whether its molecule shines; with the others it is not."""
    torch.manual_seed(0)
    where = [0.7, *np.linspace(1.95, 3.9, 60)]
    inside = torch.tensor(absorbing(np.array(where))).float()
    encoder = ChannelEncoder(16, WavelengthGraph(where, 6, 8, list(SEAMS)), kind, 2, 2, 2, 0.0)
    last = nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*encoder.parameters(), *last.parameters()], lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    errors = []
    for _ in range(250):
        bright = torch.nn.functional.one_hot(torch.randint(5, (32,), generator=generator), 5).float() @ inside.T
        seen = bright + 1.0 * torch.randn(bright.shape, generator=generator)
        light = seen[:, None].expand(-1, 4, -1)
        found = last(encoder(light, torch.ones_like(light, dtype=torch.bool))[0])[..., 0]
        loss = nn.functional.binary_cross_entropy_with_logits(found, bright)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    told = np.mean(errors[-20:])
    assert told > 0.3 if kind == "none" else told < 0.2


# --- sigma ---------------------------------------------------------------------------------------------------------


def test_the_flow_has_the_moments_and_the_density_that_it_says() -> None:
    head = FlowSigma()
    skew, tail = torch.tensor([0.0, 0.5, -0.8]), torch.tensor([0.0, -0.3, 0.6])
    torch.testing.assert_close(
        head.log_density(torch.tensor(1.5), skew[:1], tail[:1])[0],
        torch.distributions.Normal(0.0, 1.0).log_prob(torch.tensor(1.5)),
    )
    x = torch.linspace(-60.0, 60.0, 400_001)[:, None]
    density = head.log_density(x, skew, tail).exp()
    moments = [torch.trapezoid(density * x**k, x, dim=0) for k in range(3)]
    for found, expected in zip(moments, (1.0, 0.0, 1.0), strict=True):
        torch.testing.assert_close(found, torch.full((3,), expected), rtol=2e-3, atol=2e-3)
    draws = head.transform(torch.randn(400_000, 1, generator=torch.Generator().manual_seed(0)), skew, tail)
    torch.testing.assert_close(draws.mean(0), torch.zeros(3), rtol=0, atol=0.01)
    torch.testing.assert_close(draws.std(0), torch.ones(3), rtol=0.02, atol=0)
    z = torch.linspace(-2.0, 2.0, 9)[:, None].expand(-1, 3).clone().requires_grad_()
    y = head.transform(z, skew, tail)
    (slope,) = torch.autograd.grad(y.sum(), z)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z) - slope.log()
    torch.testing.assert_close(head.log_density(y, skew, tail), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("head", "crosses"), [("quantiles", False), ("free_quantiles", True)])
def test_the_rule_of_order_is_for_quantiles_that_can_cross(head: str, crosses: bool) -> None:
    losses, slopes = [], []
    for weight in (0.0, 1.0):
        rule = {"rules": {"quantile_order": {"weight": weight}}}
        model = small_model("spectramind", 0.5, sigma_head=head, penalties=rule)
        loss = model(**prepared()).loss
        loss.backward()
        losses.append(float(loss.detach()))
        slopes.append(model.decoder.sigma.local.weight.grad.clone())
    assert (losses[1] > losses[0]) is crosses
    assert bool((slopes[1] != slopes[0]).any()) is crosses


def test_quantiles_that_cross_are_put_in_order_by_the_rule() -> None:
    head, raw = FreeQuantileSigma(), nn.Parameter(torch.tensor([0.0, -2.0, 0.5]).expand(2, 5, 3).clone())
    mean, sigma = torch.full((2, 5), 2e-3), torch.full((2, 5), 1e-4)
    start = head(torch.zeros(1, 1, 3))[1]
    assert float(start["below"]) == float(start["above"]) == pytest.approx(Q90)
    optimizer, costs = torch.optim.Adam([raw], lr=0.1), []
    for _ in range(40):
        optimizer.zero_grad()
        quantiles = head.quantiles(head(raw)[1], mean, sigma)
        assert quantiles is not None
        cost = quantile_order(in_units(quantiles), torch.ones(5)).sum()
        cost.backward()
        optimizer.step()
        costs.append(float(cost.detach()))
    assert costs[0] == pytest.approx(2.0 * Q90**2, rel=1e-5)
    assert costs[-1] < 1e-3


def test_quantiles_are_in_order_and_sigma_is_their_distance() -> None:
    head, raw = QuantileSigma(), 10.0 * torch.randn(50, 7, 2)
    log_factor, parts = head(raw)
    assert (parts["below"] > 0).all()
    assert (parts["above"] > 0).all()
    torch.testing.assert_close(parts["below"] + parts["above"], torch.full((50, 7), 2.0 * Q90))
    start, halves = head(torch.zeros(1, 1, 2))
    torch.testing.assert_close(start, torch.zeros(1, 1), rtol=0, atol=1e-6)
    torch.testing.assert_close(halves["below"], torch.full((1, 1), Q90))
    labels = torch.full((50, 7), float("nan"))
    assert float(head.loss(parts, torch.zeros(50, 7), log_factor.exp(), labels)) == 0.0


@pytest.mark.parametrize("head", [QuantileSigma(), FlowSigma()], ids=lambda one: type(one).__name__)
def test_a_sigma_head_learns_a_skewed_distribution(head: Any) -> None:
    labels = torch.distributions.Gamma(2.0, 1.0).sample((20_000, 1))
    labels[:10] = float("nan")
    mean, raw = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.zeros(1, 1, head.numbers))
    optimizer = torch.optim.Adam([mean, raw], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        log_factor, parts = head(raw)
        rows = {name: value.expand(len(labels), 1) for name, value in parts.items()}
        head.loss(rows, mean.expand(len(labels), 1), log_factor.exp().expand(len(labels), 1), labels).backward()
        optimizer.step()
    log_factor, parts = (
        one if isinstance(one, Tensor) else {k: v.detach() for k, v in one.items()} for one in head(raw)
    )
    sigma = log_factor.detach().exp()
    levels = torch.tensor([0.1, 0.5, 0.9])
    if isinstance(head, QuantileSigma):
        found = torch.cat(
            [mean.detach() - sigma * parts["below"], mean.detach(), mean.detach() + sigma * parts["above"]]
        )[:, 0]
    else:
        assert float(mean.detach()) == pytest.approx(2.0, abs=0.1)
        assert float(sigma) == pytest.approx(2.0**0.5, abs=0.1)
        z = torch.distributions.Normal(0.0, 1.0).icdf(levels)
        found = mean.detach()[0] + sigma[0] * head.transform(z, parts["skew"][0], parts["log_tail"][0])
    expected = labels[10:, 0].quantile(levels)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.12)
