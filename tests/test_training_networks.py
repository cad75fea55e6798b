from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from training.diffaug import draw_numbers
from training.fused import (
    folded_upsampling_conv,
    fused_instance_layer_norm,
    fused_instance_norm,
    pad_channels_last,
)
from training.layers import (
    LIN,
    AdaLIN,
    Forms,
    SpectralConv,
    instance_layer_norm,
    set_forms,
)
from training.losses import cycle_loss, identity_loss, tone_loss
from training.networks import Discriminator, Generator, Networks, build_networks
from training.step import Augmenting, How, LossWeights, make_optimizers, train_step

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
ALL = Forms(True, True, True)
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
    judged = {k for k in losses if k.startswith("d_")}
    assert judged == {"d_local_a", "d_local_b", "d_total", "d_real_sign"}
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


def two_steps(
    how: How,
    *,
    film: str = "pooled",
    forms: Forms | None = None,
    counts: tuple[int, int] = (2, 3),
    is_augmenting: bool = False,
    is_checkpointing: bool = False,
    dtype: torch.dtype = torch.double,
    weights: LossWeights = WEIGHTS,
    is_shaded: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the last losses and the weights after two iterations of a small training."""
    networks = build_networks(
        LIGHT | {"film": film},
        {
            "global": {"base_channels": 4, "layers": 6},
            "local": {"base_channels": 4, "layers": 4, "dilations": [2]},
        },
        seed=3,
    ).to(dtype)
    networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if forms is not None:
        set_forms(networks, forms)
    for generator in (networks.generator_a2b, networks.generator_b2a):
        generator.is_checkpointing = is_checkpointing
    optimizers = make_optimizers(
        networks, lr=1e-3, betas=(0.5, 0.999), weight_decay=1e-4, is_fused=forms is not None
    )
    for step in range(2):
        real_a = random_images(counts[0], 3, 64, 64, seed=10 + step).to(dtype)
        real_b = random_images(counts[1], 3, 64, 64, seed=20 + step).to(dtype)
        augmenting = None
        if is_augmenting:
            numbers = draw_numbers(1, step, max(counts))
            kinds = ("colour", "translation", "cutout")
            augmenting = Augmenting(kinds, numbers, torch.tensor(0.7))
        skin = torch.linspace(-1, 1, 2 * counts[0]).view(2, -1).to(dtype) if weights.skin else None
        losses = train_step(
            networks,
            optimizers,
            real_a,
            real_b,
            weights,
            how=how,
            augmenting=augmenting,
            skin=skin,
            shaded_a=real_a * 0.5 - 0.5 if is_shaded else None,
        )
    return losses, networks.state_dict()


@cache
def strict_steps(film: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return two_steps(How(order="strict"), film=film)


def assert_equal_to_rounding(
    ours: tuple[dict[str, Tensor], dict[str, Tensor]],
    theirs: tuple[dict[str, Tensor], dict[str, Tensor]],
) -> None:
    assert ours[0].keys() == theirs[0].keys()
    for name, loss in theirs[0].items():
        assert ours[0][name].item() == pytest.approx(loss.item(), rel=1e-9), name
    for name, weight in theirs[1].items():
        assert (ours[1][name] - weight).abs().max() < 1e-6, name


@pytest.mark.parametrize("film", ["flatten", "pooled"])
@pytest.mark.parametrize(
    "forms",
    [None, Forms(True, False, False), Forms(False, True, False), Forms(False, False, True), ALL],
    ids=["plain", "norm", "folded", "scaled", "all"],
)
def test_fast_order_equals_strict_to_rounding(film: str, forms: Forms | None) -> None:
    strict = strict_steps(film)
    assert_equal_to_rounding(two_steps(How(), film=film, forms=forms), strict)


def test_computing_passes_again_changes_nothing() -> None:
    for forms in (None, ALL):
        kept = two_steps(How(), forms=forms)
        assert_equal_to_rounding(two_steps(How(), forms=forms, is_checkpointing=True), kept)


@pytest.mark.parametrize("is_augmenting", [False, True])
@pytest.mark.parametrize("forms", [None, ALL], ids=["plain", "all"])
def test_parts_of_a_batch_add_up_to_the_whole(forms: Forms | None, is_augmenting: bool) -> None:
    whole, parts = (
        two_steps(
            How(micro_batches=count),
            forms=forms,
            counts=(4, 4),
            is_augmenting=is_augmenting,
            is_shaded=is_augmenting,
        )
        for count in (1, 2)
    )
    assert_equal_to_rounding(parts, whole)


def test_a_shaded_photo_is_translated_and_compared_with_the_photo_itself() -> None:
    networks = build_networks(LIGHT, {"local": {"base_channels": 4, "layers": 4}}, seed=3)
    real_a, shaded_a = random_images(1, 3, 64, 64, seed=1), random_images(1, 3, 64, 64, seed=2)
    real_b = random_images(1, 3, 64, 64, seed=3)
    with torch.no_grad():
        into_b, into_a = networks.generator_a2b, networks.generator_b2a
        made = into_b(shaded_a).image
        expected = {
            "g_cycle": cycle_loss(into_a(made).image, real_a)
            + cycle_loss(into_b(into_a(real_b).image).image, real_b),
            "g_identity": identity_loss(into_a(real_a).image, real_a)
            + identity_loss(into_b(real_b).image, real_b),
            "g_tone": tone_loss(made, real_a) + tone_loss(into_a(real_b).image, real_b),
        }
    optimizers = make_optimizers(networks, lr=1e-3, betas=(0.5, 0.999), weight_decay=1e-4)
    weights = replace(WEIGHTS, tone=1.0)
    losses = train_step(networks, optimizers, real_a, real_b, weights, shaded_a=shaded_a)
    for name, loss in expected.items():
        assert losses[name].item() == pytest.approx(loss.item(), rel=1e-4), name


def test_tone_and_skin_count_by_their_weights_also_in_parts() -> None:
    weights = replace(WEIGHTS, tone=2.0, skin=3.0)
    whole, parts = (
        two_steps(How(micro_batches=count), counts=(4, 4), weights=weights) for count in (1, 2)
    )
    assert_equal_to_rounding(parts, whole)
    losses = whole[0]
    parts_of_total = {
        "adversarial": 1.0,
        "cycle": 10.0,
        "identity": 10.0,
        "cam": 1000.0,
        "tone": 2.0,
        "skin": 3.0,
    }
    total = sum(weight * losses[f"g_{name}"].item() for name, weight in parts_of_total.items())
    assert losses["g_total"].item() == pytest.approx(total)
    assert min(losses["g_tone"].item(), losses["g_skin"].item()) > 0.1
    assert not {"g_tone", "g_skin"} & two_steps(How())[0].keys()


def test_a_batch_that_does_not_divide_into_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be cut into 2 equal parts"):
        two_steps(How(micro_batches=2), counts=(3, 3))


def test_half_precision_stays_near_single() -> None:
    single = two_steps(How(), forms=ALL, dtype=torch.float32)
    half = two_steps(How(precision="bf16"), forms=ALL, dtype=torch.float32)
    assert all(weight.dtype == torch.float32 for weight in half[1].values())
    assert any(not torch.equal(half[1][name], weight) for name, weight in single[1].items())
    for name, loss in single[0].items():
        if name != "d_real_sign":
            assert half[0][name].item() == pytest.approx(loss.item(), rel=0.05), name


def test_fused_norms_have_the_gradients_of_the_plain_ones() -> None:
    x = random_images(3, 5, 4, 6).double().requires_grad_()
    rho = random_images(1, 5, 1, 1).abs().double().requires_grad_()
    assert torch.autograd.gradcheck(fused_instance_norm, (x,))
    assert (fused_instance_norm(x) - nn.functional.instance_norm(x)).abs().max() < 1e-12
    for count in (1, 3):  # LIN shares gamma and beta, AdaLIN has them for each image
        gamma = random_images(count, 5, 1, 1, seed=2).double().requires_grad_()
        beta = random_images(count, 5, 1, 1, seed=3).double().requires_grad_()
        inputs = (x, rho, gamma, beta)
        assert torch.autograd.gradcheck(fused_instance_layer_norm, inputs)
        difference = fused_instance_layer_norm(*inputs) - instance_layer_norm(*inputs)
        assert difference.abs().max() < 1e-12


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
@pytest.mark.parametrize("pads_px", [(1, 1, 1, 1), (3, 3, 3, 3), (1, 2, 1, 2), (2, 0, 0, 4)])
def test_padding_as_on_a_gpu_is_that_of_torch(mode: Any, pads_px: Any) -> None:
    x = random_images(2, 3, 7, 9).double().to(memory_format=torch.channels_last).requires_grad_()
    ours = pad_channels_last(x, pads_px, mode)
    theirs = nn.functional.pad(x, pads_px, mode=mode)
    assert torch.equal(ours, theirs)
    grad = random_images(*theirs.shape, seed=2).double()
    (our_grad,), (their_grad,) = (torch.autograd.grad(y, x, grad) for y in (ours, theirs))
    assert (our_grad - their_grad).abs().max() < 1e-12
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert our_grad.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("is_reflecting", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_folded_doubling_equals_doubling_then_convolving(
    is_reflecting: bool, layout: torch.memory_format
) -> None:
    x = random_images(2, 5, 4, 6).double().contiguous(memory_format=layout).requires_grad_()
    weight = random_images(3, 5, 3, 3, seed=2).double().requires_grad_()
    doubled = nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
    mode = "reflect" if is_reflecting else "constant"
    plain = nn.functional.conv2d(nn.functional.pad(doubled, (1, 1, 1, 1), mode=mode), weight)
    folded = partial(folded_upsampling_conv, is_reflecting=is_reflecting)
    assert (folded(x, weight) - plain).abs().max() < 1e-12
    assert torch.autograd.gradcheck(folded, (x, weight))


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
