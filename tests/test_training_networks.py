from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.layers import LIN, AdaLIN, SpectralConv, instance_layer_norm
from training.networks import Discriminator, Generator, Networks, build_networks
from training.step import LossWeights, make_optimizers, train_step

LIGHT: dict[str, Any] = {
    "base_channels": 4,
    "image_size_px": 64,
    "residual_blocks": 2,
    "film": "pooled",
}
SEED_VARIANT: dict[str, Any] = {
    "channel_multipliers": (2, 2, 4),
    "activation": "leaky_relu",
    "padding": "zeros",
    "has_cam_bias": True,
    "up_kernel_px": 4,
    "head_kernel_px": 4,
}
WEIGHTS = LossWeights(adversarial=1.0, cycle=10.0, identity=10.0, cam=1000.0)


def random_images(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("size_px", [64, 128, 256])
@pytest.mark.parametrize("film", ["flatten", "pooled"])
def test_generator_keeps_the_size_and_range(size_px: int, film: str) -> None:
    generator = Generator(**LIGHT | {"image_size_px": size_px, "film": film})
    x = random_images(2, 3, size_px, size_px)
    image, cam_logits, heatmap = generator(x)
    assert image.shape == x.shape
    assert image.abs().max() <= 1
    assert cam_logits.shape == (2, 2)
    assert heatmap.shape == (2, 1, size_px // 4, size_px // 4)


def test_pooled_generator_takes_any_multiple_of_four() -> None:
    assert Generator(**LIGHT)(random_images(1, 3, 40, 72)).image.shape == (1, 3, 40, 72)


def test_flatten_generator_names_both_sizes() -> None:
    generator = Generator(**LIGHT | {"film": "flatten"})
    with pytest.raises(ValueError, match=r"16x16 px, not 18x10"):
        generator(random_images(1, 3, 40, 72))


@pytest.mark.parametrize("film", ["flatten", "pooled"])
def test_images_of_a_batch_do_not_mix(film: str) -> None:
    generator = Generator(**LIGHT | {"film": film}).double()
    x = random_images(3, 3, 64, 64).double()
    alone = torch.cat([generator(image[None]).image for image in x])
    assert (generator(x).image - alone).abs().max() < 1e-10


@pytest.mark.parametrize(("layers", "map_px"), [(7, 6), (6, 14), (5, 30), (4, 62)])
def test_discriminator_shapes(layers: int, map_px: int) -> None:
    judge = Discriminator(base_channels=2, layers=layers)
    patch, cam_logits, heatmap = judge(random_images(2, 3, 256, 256))
    assert patch.shape == (2, 1, map_px, map_px)
    assert cam_logits.shape == (2, 2)
    assert heatmap.shape == (2, 1, map_px + 1, map_px + 1)


@pytest.mark.parametrize("layers", [4, 5, 6])
def test_discriminators_of_the_demo_fit_64_px(layers: int) -> None:
    assert Discriminator(base_channels=2, layers=layers)(random_images(1, 3, 64, 64)).patch.numel()


def receptive_field_px(judge: Discriminator, size_px: int) -> int:
    """Return the width of the input that the middle patch depends on, the CAM left aside."""
    x = random_images(1, 3, size_px, size_px).double().requires_grad_()
    y: Tensor = x
    for conv in (*judge.down_convs, *judge.dilated_convs, judge.widen, judge.head):
        y = conv(y)
    middle = y.shape[2] // 2
    y[0, :, middle, middle].sum().backward()
    assert x.grad is not None
    columns = x.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    return int(columns.max() - columns.min()) + 1


def linear_judge(**arguments: Any) -> Discriminator:
    return Discriminator(base_channels=1, padding="zeros", **arguments).eval().double()


def test_receptive_fields_are_the_papers() -> None:
    assert receptive_field_px(linear_judge(layers=5), 256) == 70
    assert receptive_field_px(linear_judge(layers=7), 512) == 286


def test_dilations_widen_the_receptive_field_at_the_same_resolution() -> None:
    plain, dilated = linear_judge(layers=4), linear_judge(layers=4, dilations=[2, 4, 8])
    x = random_images(1, 3, 256, 256).double()
    assert plain(x).patch.shape == dilated(x).patch.shape
    assert receptive_field_px(plain, 256) == 34
    assert receptive_field_px(dilated, 256) == 34 + 2 * 4 * (2 + 4 + 8)


def test_seed_variant_trains_with_one_discriminator_a_domain() -> None:
    generator = LIGHT | SEED_VARIANT | {"film": "flatten"}
    judge = {"layers": 4, "dilations": [2, 4, 8], "padding": "zeros", "has_cam_bias": True}
    networks = build_networks(generator, {"local": {"base_channels": 4, **judge}}, seed=1)
    x = random_images(2, 3, 64, 64)
    assert networks.generator_a2b(x).image.shape == x.shape
    assert networks.generator_a2b(x).heatmap.shape == (2, 1, 8, 8)
    assert networks.generator_a2b.cam.average.bias is not None
    assert all(m.negative_slope == 0.2 for m in networks.modules() if isinstance(m, nn.LeakyReLU))
    assert not any(isinstance(m, nn.ReLU) for m in networks.modules())
    optimizers = make_optimizers(networks, lr=2e-4, betas=(0.5, 0.999), weight_decay=0.0)
    losses = train_step(networks, optimizers, x, -x, WEIGHTS)
    assert {"d_local_a", "d_local_b", "d_total"} == {k for k in losses if k.startswith("d_")}
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize(
    ("film", "generator_millions", "total_millions"),
    [("flatten", 278.96, 670.76), ("pooled", 10.59, 134.02)],
)
def test_parameter_counts_are_the_papers(
    film: str, generator_millions: float, total_millions: float
) -> None:
    arguments = {"base_channels": 64, "image_size_px": 256, "residual_blocks": 4, "film": film}
    with torch.device("meta"):
        networks = Networks(
            arguments,
            {
                "global": {"base_channels": 64, "layers": 7},
                "local": {"base_channels": 64, "layers": 5},
            },
        )
    assert parameter_count(networks.generator_a2b) / 1e6 == pytest.approx(
        generator_millions, abs=0.005
    )
    assert parameter_count(networks) / 1e6 == pytest.approx(total_millions, abs=0.005)


def plain_instance_layer_norm(x: Tensor, rho: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """The formula as the paper writes it, one statement a term."""
    in_mean, ln_mean = x.mean(dim=(2, 3), keepdim=True), x.mean(dim=(1, 2, 3), keepdim=True)
    in_var, ln_var = x.var(dim=(2, 3), keepdim=True), x.var(dim=(1, 2, 3), keepdim=True)
    instance = (x - in_mean) / torch.sqrt(in_var + 1e-5)
    layer = (x - ln_mean) / torch.sqrt(ln_var + 1e-5)
    return (rho * instance + (1 - rho) * layer) * gamma + beta


@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_norm_equals_the_plain_formula(offset: float) -> None:
    x = (random_images(3, 5, 7, 9) * torch.arange(1, 6)[:, None, None] + offset).double()
    rho = random_images(1, 5, 1, 1).abs().double()
    gamma, beta = random_images(2, 3, 5, 1, 1).double()
    plain = plain_instance_layer_norm(x, rho, gamma, beta)
    assert (instance_layer_norm(x, rho, gamma, beta) - plain).abs().max() < 1e-12
    single = instance_layer_norm(*(t.float() for t in (x, rho, gamma, beta)))
    assert (single - plain).abs().max() < 1e-4
    inputs = tuple(t.clone().requires_grad_() for t in (x, rho, gamma, beta))
    weights = random_images(3, 5, 7, 9, seed=2).double()
    ours = torch.autograd.grad((instance_layer_norm(*inputs) * weights).sum(), inputs)
    plains = torch.autograd.grad((plain_instance_layer_norm(*inputs) * weights).sum(), inputs)
    for ours_grad, plain_grad in zip(ours, plains, strict=True):
        assert (ours_grad - plain_grad).abs().max() < 1e-10


def test_norms_start_where_the_paper_says() -> None:
    assert torch.equal(AdaLIN(3).rho, torch.full((1, 3, 1, 1), 0.9))
    assert torch.equal(LIN(3).rho, torch.zeros(1, 3, 1, 1))


def test_rho_is_clipped_everywhere() -> None:
    generator = Generator(**LIGHT)
    rhos = [p for name, p in generator.named_parameters() if name.endswith("rho")]
    for index, rho in enumerate(rhos):
        nn.init.constant_(rho, 3.0 if index % 2 else -3.0)
    generator.clip_rho()
    assert len(rhos) == 2 * 2 + 2
    assert all(torch.equal(rho, torch.full_like(rho, i % 2)) for i, rho in enumerate(rhos))


def test_spectral_conv_equals_torchs() -> None:
    ours = SpectralConv(3, 5, 4, stride=2, pad_px=(1, 1))
    plain = nn.Conv2d(3, 5, 4, stride=2)
    plain.load_state_dict({"weight": ours.weight, "bias": ours.bias})
    theirs = torch.nn.utils.spectral_norm(plain)
    theirs.weight_u.copy_(ours.u)
    theirs.weight_v.copy_(ours.v)
    x = random_images(2, 3, 16, 16)
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
    for _ in range(3):
        assert torch.equal(ours(x), theirs(padded))
    assert torch.equal(ours.u, theirs.weight_u)
    assert torch.equal(ours.v, theirs.weight_v)
    ours.eval()(x)
    assert torch.equal(ours.u, theirs.weight_u), "a forward pass in eval mode moved the vector"


@pytest.mark.parametrize("film", ["flatten", "pooled"])
def test_fast_order_equals_strict_to_rounding(film: str) -> None:
    results = []
    for order in ("strict", "fast"):
        networks = build_networks(
            LIGHT | {"film": film},
            {
                "global": {"base_channels": 4, "layers": 6},
                "local": {"base_channels": 4, "layers": 4, "dilations": [2]},
            },
            seed=3,
        ).double()
        optimizers = make_optimizers(networks, lr=1e-3, betas=(0.5, 0.999), weight_decay=1e-4)
        for step in range(2):
            real_a = random_images(2, 3, 64, 64, seed=10 + step).double()
            real_b = random_images(3, 3, 64, 64, seed=20 + step).double()
            losses = train_step(networks, optimizers, real_a, real_b, WEIGHTS, order=order)
        results.append((losses, networks.state_dict()))
    (strict_losses, strict_weights), (fast_losses, fast_weights) = results
    assert strict_losses.keys() == fast_losses.keys()
    for name, loss in strict_losses.items():
        assert fast_losses[name].item() == pytest.approx(loss.item(), rel=1e-10), name
    for name, weight in strict_weights.items():
        assert (fast_weights[name] - weight).abs().max() < 1e-6, name


def test_initial_weights_depend_on_the_seed_alone() -> None:
    judges = {"local": {"base_channels": 4, "layers": 4}}
    before = torch.random.get_rng_state()
    first = build_networks(LIGHT, judges, seed=5).state_dict()
    torch.rand(7)
    second = build_networks(LIGHT, judges, seed=5).state_dict()
    other = build_networks(LIGHT, judges, seed=6).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["generator_a2b.stem.weight"], other["generator_a2b.stem.weight"])
    torch.random.set_rng_state(before)
    build_networks(LIGHT, judges, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before), "the global generator moved"
