"""The network that finds drawn faces: a small one-stage detector without anchors.

A residual trunk with a feature pyramid (strides 8 to 64) and one head shared by all levels, so
that a face looks the same to the head whatever its size (FCOS, arXiv:1904.01355). At each cell it
says how well a head lies there (the expected IoU: generalized focal loss, arXiv:2006.04388), where
the head's sides are, and where the two eyes are and whether they can be seen.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

OUTPUTS = 11
"""Score logit; left, top, right, bottom; left eye x, y; right eye x, y; two visibility logits."""


class FaceNetwork(nn.Module):
    """Maps grey pictures (N, 1, H, W) in [0, 1], H and W multiples of 64, to cells (N, C, 11).

    The cells of the four levels follow one another, each level row by row. Distances to the four
    sides are in strides and positive; eyes are in strides from the cell's middle.
    """

    def __init__(self, width: int = 32, pyramid: int = 64) -> None:
        super().__init__()
        widths = (width, 2 * width, 3 * width, 4 * width, 4 * width)
        self.stem = _conv(1, width // 2, kernel=5, stride=2)
        depths = (1, 2, 2, 2, 1)
        stages, previous = [], width // 2
        for channels, depth in zip(widths, depths, strict=True):
            blocks = [Residual(previous, channels, stride=2)]
            blocks += [Residual(channels, channels) for _ in range(depth - 1)]
            stages.append(nn.Sequential(*blocks))
            previous = channels
        self.stages = nn.ModuleList(stages)
        self.lateral = nn.ModuleList(_conv(c, pyramid, kernel=1) for c in widths[1:])
        self.smooth = nn.ModuleList(_conv(pyramid, pyramid) for _ in widths[1:])
        self.head = nn.Sequential(_conv(pyramid, pyramid), _conv(pyramid, pyramid))
        self.out = nn.Conv2d(pyramid, OUTPUTS, 1)
        nn.init.normal_(self.out.weight, std=0.01)
        # A score of 0.01 at first, because nearly all cells are background; sides of a stride.
        first = torch.tensor([-4.6, *[1.0] * 4, *[0.0] * 6])
        self.out.bias = nn.Parameter(first)

    def forward(self, x: Tensor) -> Tensor:
        """Return the cells (N, C, 11) of all levels."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        levels = [lateral(f) for lateral, f in zip(self.lateral, features[1:], strict=True)]
        for index in range(len(levels) - 2, -1, -1):
            above = functional.interpolate(levels[index + 1], scale_factor=2.0, mode="nearest")
            levels[index] = levels[index] + above
        cells = []
        for level, smooth in zip(levels, self.smooth, strict=True):
            out = self.out(self.head(smooth(level)))  # (N, 11, h, w)
            cells.append(out.flatten(2).transpose(1, 2))
        raw = torch.cat(cells, 1)
        sides = functional.softplus(raw[..., 1:5])
        return torch.cat([raw[..., :1], sides, raw[..., 5:]], -1)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _conv(in_channels, out_channels, stride=stride)
        self.second = _conv(out_channels, out_channels, is_active=False)
        is_same = stride == 1 and in_channels == out_channels
        self.shortcut = (
            nn.Identity()
            if is_same
            else _conv(in_channels, out_channels, kernel=1, stride=stride, is_active=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's answer, of the same or half the height and width."""
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


def _conv(
    in_channels: int, out_channels: int, *, kernel: int = 3, stride: int = 1, is_active: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    if is_active:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
