"""Inception's features, for figures that may stand beside published ones.

The weights are a download of 91 MB that is not made here: a file named in params.yaml, or the one
that torch-fidelity has left in torch's cache.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anymus.errors import CheckpointError, DeviceError, ParamsError
from anymus.files import sha256_file
from anymus.images import RgbU8
from anymus.torchlib import load_torchvision

from .features import Features
from .pickled import read_pickled

PUBLISHED_FILE = "weights-inception-2015-12-05-6726825d.pth"
"""What torch-fidelity calls its weights; the end of the name is how their SHA-256 begins."""
PUBLISHED_SHA256 = "6726825d"
LAYER = "2048"
"""The last pooling layer, which FID and KID are defined on."""
_HINT = (
    f"download torch-fidelity's {PUBLISHED_FILE} and set evaluate.inception_weights to it, or take"
    " evaluate.feature_network=random_vgg"
)


class Inception:
    """The Inception v3 of FID and KID as torchmetrics runs it.

    Pictures are 8-bit values, resized to 299 pixels with antialiased bilinear interpolation, then
    brought to [-1, 1] as (x - 128) / 128. The vector is the 2048 means of the last feature maps.

    Raises:
        DeviceError: torch-fidelity, which describes the network, is not installed.
        ParamsError: There is no such file.
        CheckpointError: The file is damaged or holds something else.
    """

    features = int(LAYER)

    def __init__(self, weights: Path | None, device: torch.device) -> None:
        path = weights or Path(torch.hub.get_dir()) / "checkpoints" / PUBLISHED_FILE
        if not path.is_file():
            where = "" if weights else ", and evaluate.inception_weights is null"
            raise ParamsError(
                f"evaluate.feature_network: no Inception weights {path}{where}", _HINT
            )
        self.sha256 = sha256_file(path)
        is_published = self.sha256.startswith(PUBLISHED_SHA256)
        self.name = "inception_v3_2015" if is_published else f"inception_v3_{self.sha256[:8]}"
        self._device = device
        self._network = _build(path).to(device)

    @torch.inference_mode()
    def describe(self, pictures: Sequence[RgbU8]) -> Features:
        """Return the vectors (N, 2048), for pictures (H, W, 3) of one size or of several."""
        if not pictures:
            return np.zeros((0, self.features))
        if len({picture.shape for picture in pictures}) > 1:
            return np.concatenate([self.describe([picture]) for picture in pictures])
        x_u8 = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(self._device)
        return np.asarray(self._network(x_u8).cpu().numpy(), dtype=np.float64)


def _build(path: Path) -> Any:
    """Return the library's network with the weights of a file.

    The library unpickles whatever a file holds; so the file is read here, tensors only, and the
    library is given a copy.
    """
    load_torchvision()
    from torchmetrics.image.fid import NoTrainInceptionV3

    copy: Any = io.BytesIO()  # the library says path, and takes what torch.load takes
    torch.save(read_pickled(path, "weights of Inception v3", _HINT), copy)
    copy.seek(0)
    try:
        return NoTrainInceptionV3("inception-v3-compat", [LAYER], copy)
    except ModuleNotFoundError as error:
        raise DeviceError(
            "Inception's features need torch-fidelity, which is not installed",
            "pip install torch-fidelity, or take evaluate.feature_network=random_vgg",
        ) from error
    except (RuntimeError, AttributeError, TypeError) as error:
        line = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not fit Inception v3: {line}", _HINT) from error
