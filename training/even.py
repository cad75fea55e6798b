"""How even the skin of a drawn face is: dark skin in patches is neither dark nor light."""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everyone writes it

from .losses import find_head
from .skin import CHEEKS

_SKIN_NEAR = 0.08  # of its level in [-1, 1]: what is as light is skin, lines and shadows are not
_CELLS = 32  # a side, in which skin is compared


def even_loss(drawing: Tensor, wanted: Tensor) -> Tensor:
    """Return by how much the skin of each drawing differs from its own mean, (N,).

    Skin is where what is wanted is, in the head, as light as its cheeks. It is compared in cells,
    so lines hardly count; and with its own mean, so a face all grey costs nothing where a white one
    is wanted: the difference to what is wanted costs that.

    Args:
        drawing: (N, 3, H, W) in [-1, 1].
        wanted: The same, with flat skin.
    """
    side = wanted.shape[-1]
    top, bottom, left, right = (round(share * side) for share in CHEEKS)
    grey = wanted[:, :1]
    level = grey[..., top:bottom, left:right].flatten(1).median(dim=1).values
    is_skin = ((grey - level.view(-1, 1, 1, 1)).abs() < _SKIN_NEAR) & find_head(side, grey.device)
    cell = max(1, side // _CELLS)
    share = F.avg_pool2d(is_skin.float(), cell)
    cells = F.avg_pool2d(drawing.mean(dim=1, keepdim=True) * is_skin, cell) / share.clamp(min=0.5)
    share = (share * (share > 0.5)).flatten(1)
    share = share / share.sum(dim=1, keepdim=True).clamp(min=1e-6)
    differences = cells.flatten(1) - (share * cells.flatten(1)).sum(dim=1, keepdim=True)
    return (share * differences.abs()).sum(dim=1)
