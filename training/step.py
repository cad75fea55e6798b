"""One training iteration of U-GAT-IT: discriminators first, then generators."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from .losses import adversarial_loss, cam_loss, cycle_loss, discriminator_loss, identity_loss
from .networks import Networks, Translated

Order = Literal["fast", "strict"]
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class LossWeights:
    """What each kind of loss counts in the totals."""

    adversarial: float
    cycle: float
    identity: float
    cam: float


@dataclass(frozen=True)
class Optimizers:
    """One optimiser for both generators, one for all discriminators."""

    generators: Optimizer
    discriminators: Optimizer

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of both."""
        for optimizer in (self.generators, self.discriminators):
            for group in optimizer.param_groups:
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


def make_optimizers(
    networks: Networks, *, lr: float, betas: tuple[float, float], weight_decay: float
) -> Optimizers:
    """Return fresh Adam optimisers over the networks (L2 weight decay inside the gradient)."""
    discriminators = networks.discriminators.parameters()
    return Optimizers(
        Adam(networks.generator_parameters(), lr=lr, betas=betas, weight_decay=weight_decay),
        Adam(discriminators, lr=lr, betas=betas, weight_decay=weight_decay),
    )


def train_step(
    networks: Networks,
    optimizers: Optimizers,
    real_a: Tensor,
    real_b: Tensor,
    weights: LossWeights,
    *,
    order: Order = "fast",
) -> Losses:
    """Train every network on one batch, in place, and return the named losses.

    Args:
        networks: in training mode; every discriminator does its power iterations in the order
            real, fake, then fake again for the generators.
        optimizers: of these networks.
        real_a: (N, 3, H, W) in [-1, 1], photos.
        real_b: (N, 3, H, W) in [-1, 1], manga; N may differ from that of `real_a`.
        weights: of the losses in the totals.
        order: `strict` repeats the official port operation by operation; `fast` is the same
            mathematics with less work, equal up to rounding.

    Returns:
        Detached scalars: `d_<discriminator>` for each of them, `d_total`, `g_adversarial`,
        `g_cycle`, `g_identity`, `g_cam`, `g_total`. All but the totals are unweighted.
    """
    step = _strict_step if order == "strict" else _fast_step
    losses = step(networks, optimizers, real_a, real_b, weights)
    return {name: loss.detach() for name, loss in losses.items()}


def _strict_step(
    networks: Networks, optimizers: Optimizers, real_a: Tensor, real_b: Tensor, weights: LossWeights
) -> Losses:
    """The port's order: fakes are made twice, and gradients also go where they are not used."""
    a2b, b2a = networks.generator_a2b, networks.generator_b2a

    fake_a, fake_b = b2a(real_b).image, a2b(real_a).image
    d_losses = _discriminator_losses(networks, (real_a, fake_a), (real_b, fake_b), weights)
    _update(optimizers.discriminators, d_losses["d_total"])

    translated_b, translated_a = a2b(real_a), b2a(real_b)
    passes = GeneratorPasses(
        a2b=translated_b,
        b2a=translated_a,
        a2b2a=b2a(translated_b.image),
        b2a2b=a2b(translated_a.image),
        a2a=b2a(real_a),
        b2b=a2b(real_b),
    )
    g_losses = _generator_losses(networks, passes, real_a, real_b, weights)
    _update(optimizers.generators, g_losses["g_total"])
    a2b.clip_rho()
    b2a.clip_rho()
    return d_losses | g_losses


def _fast_step(
    networks: Networks, optimizers: Optimizers, real_a: Tensor, real_b: Tensor, weights: LossWeights
) -> Losses:
    """The same mathematics: fakes are made once, and discriminators stand still for G's step.

    Nothing in a generator mixes the images of a batch, so the pass that translates and the
    identity pass go through it together.
    """
    a2b, b2a = networks.generator_a2b, networks.generator_b2a

    translated_b, same_b = _split(a2b(torch.cat([real_a, real_b])), len(real_a))
    translated_a, same_a = _split(b2a(torch.cat([real_b, real_a])), len(real_b))
    fake_a, fake_b = translated_a.image.detach(), translated_b.image.detach()
    d_losses = _discriminator_losses(networks, (real_a, fake_a), (real_b, fake_b), weights)
    _update(optimizers.discriminators, d_losses["d_total"])

    passes = GeneratorPasses(
        a2b=translated_b,
        b2a=translated_a,
        a2b2a=b2a(translated_b.image),
        b2a2b=a2b(translated_a.image),
        a2a=same_a,
        b2b=same_b,
    )
    networks.discriminators.requires_grad_(False)
    g_losses = _generator_losses(networks, passes, real_a, real_b, weights)
    _update(optimizers.generators, g_losses["g_total"])
    networks.discriminators.requires_grad_(True)
    a2b.clip_rho()
    b2a.clip_rho()
    return d_losses | g_losses


def _split(both: Translated, count: int) -> tuple[Translated, Translated]:
    """Return the first `count` images' results and those of the rest."""
    first = Translated(*(part[:count] for part in both))
    return first, Translated(*(part[count:] for part in both))


def _update(optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _discriminator_losses(
    networks: Networks,
    images_a: tuple[Tensor, Tensor],
    images_b: tuple[Tensor, Tensor],
    weights: LossWeights,
) -> Losses:
    """Return `d_<discriminator>` and `d_total`; each pair is (real, fake) of a domain."""
    losses: Losses = {}
    for judges, (real, fake) in (
        (networks.judges_of("a"), images_a),
        (networks.judges_of("b"), images_b),
    ):
        for name, judge in judges:
            losses[f"d_{name}"] = discriminator_loss(judge(real), judge(fake))
    losses["d_total"] = weights.adversarial * _sum(losses.values())
    return losses


def _generator_losses(
    networks: Networks,
    passes: GeneratorPasses,
    real_a: Tensor,
    real_b: Tensor,
    weights: LossWeights,
) -> Losses:
    """Return the generators' four losses, summed over the domains, and `g_total`."""
    adversarial = [
        *(adversarial_loss(judge(passes.b2a.image)) for _, judge in networks.judges_of("a")),
        *(adversarial_loss(judge(passes.a2b.image)) for _, judge in networks.judges_of("b")),
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
    return losses


def _sum(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum()
