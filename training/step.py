"""One training iteration of U-GAT-IT: discriminators first, then generators."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Adam, Optimizer

from .diffaug import USES, Kind, augmented
from .layers import Forms, SpectralConv, SpectralLinear, set_forms
from .losses import (
    adversarial_loss,
    cam_loss,
    cycle_loss,
    discriminator_loss,
    identity_loss,
    skin_loss,
    tone_loss,
)
from .networks import Judged, Networks, Translated

Order = Literal["fast", "strict"]
Precision = Literal["fp32", "bf16"]
Losses = dict[str, Tensor]
Domain = Literal["a", "b"]
DOMAINS: tuple[Domain, Domain] = ("a", "b")


@dataclass(frozen=True)
class LossWeights:
    """What each kind of loss counts in the totals."""

    adversarial: float
    cycle: float
    identity: float
    cam: float
    tone: float = 0.0  # 0: as in the paper
    skin: float = 0.0  # the same


@dataclass(frozen=True)
class Optimizers:
    """One optimiser for both generators, one for all discriminators."""

    generators: Optimizer
    discriminators: Optimizer

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of both."""
        for optimizer in (self.generators, self.discriminators):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # in place: a captured graph reads it there
                    group["lr"].fill_(lr)
                else:
                    group["lr"] = lr


@dataclass(frozen=True)
class GeneratorPasses:
    """The six generator passes of one iteration."""

    a2b: Translated
    b2a: Translated
    a2b2a: Translated
    b2a2b: Translated
    a2a: Translated
    b2b: Translated


@dataclass(frozen=True)
class Augmenting:
    """What discriminators see instead of the pictures themselves."""

    kinds: tuple[Kind, ...]
    numbers: Tensor  # (2 domains, 3 uses, N, NUMBERS), see diffaug
    probability: Tensor  # ()

    def of(self, first: int, last: int) -> "Augmenting":
        """Return that of the pictures from one place to before another."""
        return replace(self, numbers=self.numbers[:, :, first:last])


@dataclass(frozen=True)
class How:
    """How an iteration is computed; the mathematics is the same throughout.

    Attributes:
        order: `strict` repeats the official port operation by operation; `fast` does less work.
        precision: `bf16` computes convolutions in half of single precision.
        micro_batches: parts into which a batch is cut, one after another, their gradients added.
    """

    order: Order = "fast"
    precision: Precision = "fp32"
    micro_batches: int = 1


def make_optimizers(
    networks: Networks,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    is_fused: bool = False,
    is_capturable: bool = False,
) -> Optimizers:
    """Return fresh Adam optimisers over the networks (L2 weight decay inside the gradient).

    Args:
        networks: on their device already.
        lr: learning rate.
        betas: decays of the mean gradient and of the mean squared gradient.
        weight_decay: of the penalty.
        is_fused: one pass over the memory for each tensor instead of a dozen.
        is_capturable: for a CUDA graph: the rate and the step live on the device.
    """
    device = next(networks.parameters()).device
    make = partial(
        Adam, betas=betas, weight_decay=weight_decay, fused=is_fused, capturable=is_capturable
    )
    generators, discriminators = networks.generator_parameters(), networks.discriminators
    rates: list[Any] = [torch.tensor(lr, device=device) if is_capturable else lr for _ in "gd"]
    return Optimizers(make(generators, lr=rates[0]), make(discriminators.parameters(), lr=rates[1]))


def choose_forms(networks: Networks, order: Order, *, is_compiled: bool) -> None:
    """Make the networks compute in the forms that are quickest for this order, in place.

    A compiler fuses the plain norms by itself, and cannot look into ours.
    """
    is_fast = order == "fast"
    set_forms(networks, Forms(is_fast and not is_compiled, is_fast, is_fast))


@dataclass(frozen=True)
class Wrapped:
    """The networks as an iteration calls them: themselves, or wrapped for several processes."""

    generators: dict[str, nn.Module]  # a2b, b2a
    judges: dict[str, nn.Module]  # global_a and so on

    def judges_of(self, domain: Domain) -> Iterator[tuple[str, nn.Module]]:
        """Yield (name, discriminator) of one domain."""
        return (pair for pair in self.judges.items() if pair[0].endswith(f"_{domain}"))

    @contextmanager
    def unsynchronised(self) -> Iterator[None]:
        """Keep gradients from being averaged over the processes, within the block."""
        wrappers = (*self.generators.values(), *self.judges.values())
        flags = [w for w in wrappers if isinstance(w, DistributedDataParallel)]
        for wrapper in flags:
            wrapper.require_backward_grad_sync = False
        try:
            yield
        finally:
            for wrapper in flags:
                wrapper.require_backward_grad_sync = True


def wrap(networks: Networks, wrapper: Callable[[nn.Module], nn.Module] | None = None) -> Wrapped:
    """Return the networks for `train_step`, each in a wrapper of its own if one is given."""
    put_in = wrapper or (lambda network: network)
    generators = {"a2b": networks.generator_a2b, "b2a": networks.generator_b2a}
    return Wrapped(
        {name: put_in(network) for name, network in generators.items()},
        {name: put_in(network) for name, network in networks.discriminators.items()},
    )


def train_step(  # noqa: PLR0913 - what is trained, on what, how; the rest by keyword
    networks: Networks,
    optimizers: Optimizers,
    real_a: Tensor,
    real_b: Tensor,
    weights: LossWeights,
    *,
    how: How | None = None,
    augmenting: Augmenting | None = None,
    skin: Tensor | None = None,
    shaded_a: Tensor | None = None,
    wrapped: Wrapped | None = None,
) -> Losses:
    """Train every network on one batch, in place, and return the named losses.

    Args:
        networks: in training mode; every discriminator does its power iterations in the order
            real, fake, then fake again for the generators.
        optimizers: of these networks.
        real_a: (N, 3, H, W) in [-1, 1], photos.
        real_b: (N, 3, H, W) in [-1, 1], manga; N may differ from that of `real_a`.
        weights: of the losses in the totals.
        how: order, precision and memory; None: fast, in single precision.
        augmenting: differentiable augmentation; None: none. The strict order has none.
        skin: (2, N) in [-1, 1], how light the skin of translations of photos and of manga should
            be; None only if that loss has no weight.
        shaded_a: (N, 3, H, W) in [-1, 1], `real_a` as it is translated; every loss compares with
            `real_a` itself. None: the same. The strict order has no other.
        wrapped: of these networks, if several processes train them together.

    Returns:
        Detached scalars: `d_<discriminator>` for each of them, `d_total`, `d_real_sign` (mean sign
        of the verdict on real patches: 1 if all are known), `g_adversarial`, `g_cycle`,
        `g_identity`, `g_cam`, `g_tone` and `g_skin` (if they have a weight), `g_total`. All but the
        totals are unweighted.
    """
    how = how or How()
    iteration = _Iteration(
        networks,
        wrapped or wrap(networks),
        optimizers,
        weights,
        how,
        augmenting,
        skin,
        real_a if shaded_a is None else shaded_a,
        real_a.device,
    )
    if how.order == "strict":
        losses = _strict_step(iteration, real_a, real_b)
    elif how.micro_batches > 1:
        losses = _accumulated_step(iteration, real_a, real_b)
    else:
        losses = _fast_step(iteration, real_a, real_b)
    return {name: loss.detach() for name, loss in losses.items()}


@dataclass(frozen=True)
class _Iteration:
    """What the parts of one iteration share."""

    networks: Networks
    wrapped: Wrapped
    optimizers: Optimizers
    weights: LossWeights
    how: How
    augmenting: Augmenting | None
    skin: Tensor | None
    shaded_a: Tensor
    device: torch.device

    def precision(self) -> AbstractContextManager[Any]:
        """Return the context in which forward passes and losses are computed."""
        if self.how.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def generate(self, direction: str, x: Tensor) -> Translated:
        """Return a generator's pass."""
        return Translated(*self.wrapped.generators[direction](x))

    def seen(self, x: Tensor, domain: Domain, use: str) -> Tensor:
        """Return the pictures as a discriminator of their domain sees them."""
        if self.augmenting is None:
            return x
        numbers = self.augmenting.numbers[DOMAINS.index(domain), USES.index(use), : len(x)]
        return augmented(x, numbers, self.augmenting.probability, self.augmenting.kinds)


def _strict_step(one: _Iteration, real_a: Tensor, real_b: Tensor) -> Losses:
    """The port's order: fakes are made twice, and gradients also go where they are not used."""
    a2b, b2a = one.networks.generator_a2b, one.networks.generator_b2a

    fake_a, fake_b = b2a(real_b).image, a2b(real_a).image
    d_losses: Losses = {}
    for domain, real, fake in (("a", real_a, fake_a), ("b", real_b, fake_b)):
        for name, judge in one.networks.judges_of(domain):  # type: ignore[arg-type]
            d_losses |= _losses_of_judge(name, judge(real), judge(fake))
    _add_d_totals(one, d_losses)
    update(one.optimizers.discriminators, d_losses["d_total"])

    translated_b, translated_a = a2b(real_a), b2a(real_b)
    passes = GeneratorPasses(
        a2b=translated_b,
        b2a=translated_a,
        a2b2a=b2a(translated_b.image),
        b2a2b=a2b(translated_a.image),
        a2a=b2a(real_a),
        b2b=a2b(real_b),
    )
    g_losses = _generator_losses(one, passes, real_a, real_b)
    update(one.optimizers.generators, g_losses["g_total"])
    _clip(one.networks)
    return d_losses | g_losses


def _fast_step(one: _Iteration, real_a: Tensor, real_b: Tensor) -> Losses:
    """The same mathematics: fakes are made once, and discriminators stand still for G's step."""
    with one.precision():
        translated_b, translated_a, same_a, same_b = _translate(one, real_a, real_b)
        fakes = translated_a.image.detach(), translated_b.image.detach()
        d_losses = _discriminator_losses(one, (real_a, fakes[0]), (real_b, fakes[1]))
    update(one.optimizers.discriminators, d_losses["d_total"])
    with one.precision(), frozen(one.networks.discriminators):
        passes = GeneratorPasses(
            a2b=translated_b,
            b2a=translated_a,
            a2b2a=one.generate("b2a", translated_b.image),
            b2a2b=one.generate("a2b", translated_a.image),
            a2a=same_a,
            b2b=same_b,
        )
        g_losses = _generator_losses(one, passes, real_a, real_b)
        with torch.autocast(one.device.type, enabled=False):
            update(one.optimizers.generators, g_losses["g_total"])
    _clip(one.networks)
    return d_losses | g_losses


def _translate(
    one: _Iteration, real_a: Tensor, real_b: Tensor
) -> tuple[Translated, Translated, Translated, Translated]:
    """Return a2b, b2a and the identity passes a2a, b2b.

    Nothing in a generator mixes the images of a batch, so the pass that translates and the
    identity pass go through it together.
    """
    into_b = one.generate("a2b", torch.cat([one.shaded_a, real_b]))
    into_a = one.generate("b2a", torch.cat([real_b, real_a]))
    translated_b, same_b = _split(into_b, [len(real_a), len(real_b)])
    translated_a, same_a = _split(into_a, [len(real_b), len(real_a)])
    return translated_b, translated_a, same_a, same_b


def _accumulated_step(one: _Iteration, real_a: Tensor, real_b: Tensor) -> Losses:
    """The fast step on parts of the batch, one after another, equal to that on the whole batch.

    The parts' fakes are made anew for the generators' step: keeping them all would need the memory
    that parts are meant to save. Every part sees the same power iterations.
    """
    count = one.how.micro_batches
    parts = list(zip(real_a.chunk(count), real_b.chunk(count), strict=True))
    if len(parts) != count or len({len(x) for pair in parts for x in pair}) > 1:
        raise ValueError(f"a batch of {len(real_a)} cannot be cut into {count} equal parts")
    totals: Losses = {}
    one.optimizers.discriminators.zero_grad()
    judges = one.networks.discriminators
    for index, (part, part_a, part_b) in enumerate(_parts(one, parts)):
        _rewind(judges, index)
        with one.precision(), torch.no_grad():
            fake_b = one.networks.generator_a2b(part.shaded_a).image
            fake_a = one.networks.generator_b2a(part_b).image
        with part.precision():
            losses = _discriminator_losses(part, (part_a, fake_a), (part_b, fake_b))
        _backward_part(part, losses, "d_total", totals, is_last=index == count - 1)
    one.optimizers.discriminators.step()
    one.optimizers.generators.zero_grad()
    with frozen(judges):
        for index, (part, part_a, part_b) in enumerate(_parts(one, parts)):
            _rewind(judges, index)
            with part.precision():
                translated_b, translated_a, same_a, same_b = _translate(part, part_a, part_b)
                cycle_a = part.generate("b2a", translated_b.image)
                cycle_b = part.generate("a2b", translated_a.image)
                passes = GeneratorPasses(
                    translated_b, translated_a, cycle_a, cycle_b, same_a, same_b
                )
                losses = _generator_losses(part, passes, part_a, part_b)
            _backward_part(part, losses, "g_total", totals, is_last=index == count - 1)
    one.optimizers.generators.step()
    _clip(one.networks)
    return totals


def _parts(
    one: _Iteration, parts: Sequence[tuple[Tensor, Tensor]]
) -> Iterator[tuple[_Iteration, Tensor, Tensor]]:
    first = 0
    for part_a, part_b in parts:
        last = first + len(part_a)
        own = one.augmenting and one.augmenting.of(first, last)
        skin = None if one.skin is None else one.skin[:, first:last]
        shaded_a = one.shaded_a[first:last]
        yield replace(one, augmenting=own, skin=skin, shaded_a=shaded_a), part_a, part_b
        first = last


def _backward_part(
    one: _Iteration, losses: Losses, total: str, totals: Losses, *, is_last: bool
) -> None:
    """Add a part's share to the gradients and to the losses."""
    share = 1.0 / one.how.micro_batches
    with nullcontext() if is_last else one.wrapped.unsynchronised():
        (losses[total] * share).backward()  # type: ignore[no-untyped-call]
    for name, loss in losses.items():
        added = loss.detach() * share
        totals[name] = totals[name] + added if name in totals else added


def _rewind(judges: nn.Module, index: int) -> None:
    """Keep the singular vectors before the first part; put them back before every other one."""
    for layer in judges.modules():
        if isinstance(layer, SpectralConv | SpectralLinear):
            if index == 0:
                layer.kept_vectors = (layer.u.clone(), layer.v.clone())
            else:
                layer.u.copy_(layer.kept_vectors[0])
                layer.v.copy_(layer.kept_vectors[1])


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute no gradients for the module's own parameters, within the block."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def _split(both: Translated | Judged, counts: list[int]) -> list[Any]:
    """Return the passes that were made together, each by itself."""
    return [
        type(both)(*parts)
        for parts in zip(*(torch.split(part, counts) for part in both), strict=True)
    ]


def update(optimizer: Optimizer, loss: Tensor) -> None:
    """Let the optimiser take one step down this loss."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _clip(networks: Networks) -> None:
    networks.generator_a2b.clip_rho()
    networks.generator_b2a.clip_rho()


def _discriminator_losses(
    one: _Iteration, images_a: tuple[Tensor, Tensor], images_b: tuple[Tensor, Tensor]
) -> Losses:
    """Return the discriminators' losses; each pair is (real, fake) of a domain."""
    losses: Losses = {}
    for domain, (real, fake) in zip(DOMAINS, (images_a, images_b), strict=True):
        counts = [len(real), len(fake)]
        both = torch.cat([one.seen(real, domain, "real"), one.seen(fake, domain, "fake")])
        for name, judge in one.wrapped.judges_of(domain):
            losses |= _losses_of_judge(name, *_split(Judged(*judge(both, counts)), counts))
    _add_d_totals(one, losses)
    return losses


def _losses_of_judge(name: str, real: Judged, fake: Judged) -> Losses:
    sign = (real.patch.detach() - 0.5).sign().mean()
    return {f"d_{name}": discriminator_loss(real, fake), f"sign_{name}": sign}


def _add_d_totals(one: _Iteration, losses: Losses) -> None:
    """Replace the signs by their mean, and add `d_total`, in place."""
    signs = [losses.pop(name) for name in list(losses) if name.startswith("sign_")]
    total = one.weights.adversarial * _sum(losses.values())
    losses["d_real_sign"] = torch.stack(signs).mean()
    losses["d_total"] = total


def _generator_losses(
    one: _Iteration, passes: GeneratorPasses, real_a: Tensor, real_b: Tensor
) -> Losses:
    """Return the generators' losses, summed over the domains, and `g_total`."""
    weights = one.weights
    adversarial = [
        adversarial_loss(Judged(*judge(one.seen(fake.image, domain, "fake_for_generators"))))
        for domain, fake in zip(DOMAINS, (passes.b2a, passes.a2b), strict=True)
        for _, judge in one.networks.judges_of(domain)
    ]
    losses = {
        "g_adversarial": _sum(adversarial),
        "g_cycle": cycle_loss(passes.a2b2a.image, real_a) + cycle_loss(passes.b2a2b.image, real_b),
        "g_identity": identity_loss(passes.a2a.image, real_a)
        + identity_loss(passes.b2b.image, real_b),
        "g_cam": cam_loss(passes.b2a.cam_logits, passes.a2a.cam_logits)
        + cam_loss(passes.a2b.cam_logits, passes.b2b.cam_logits),
    }
    losses["g_total"] = (
        weights.adversarial * losses["g_adversarial"]
        + weights.cycle * losses["g_cycle"]
        + weights.identity * losses["g_identity"]
        + weights.cam * losses["g_cam"]
    )
    if weights.tone > 0:
        losses["g_tone"] = tone_loss(passes.a2b.image, real_a) + tone_loss(passes.b2a.image, real_b)
        losses["g_total"] = losses["g_total"] + weights.tone * losses["g_tone"]
    if weights.skin > 0:
        assert one.skin is not None
        levels_a, levels_b = one.skin
        losses["g_skin"] = skin_loss(passes.a2b.image, levels_a) + skin_loss(
            passes.b2a.image, levels_b
        )
        losses["g_total"] = losses["g_total"] + weights.skin * losses["g_skin"]
    return losses


def _sum(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum()
