"""Losses and sample grids for TensorBoard, for who has it installed."""

from collections.abc import Mapping
from pathlib import Path

from anymus.errors import DeviceError
from anymus.images import RgbU8


class Board:
    """Writes event files; they are a view for people, no result."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise DeviceError(
                "train.has_tensorboard is true, but TensorBoard is not installed",
                'pip install "tensorboard>=2.18", or -S train.has_tensorboard=false',
            ) from error
        self._writer = SummaryWriter(str(folder), flush_secs=10)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Add figures of a step, each as a curve of its name."""
        for name, value in figures.items():
            if name != "step":
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def show(self, step: int, grid: RgbU8) -> None:
        """Add a sample grid (H, W, 3)."""
        self._writer.add_image("samples", grid, step, dataformats="HWC")


def open_board(run_dir: Path) -> Board:
    """Return a board in the folder `tensorboard` of a run.

    Raises:
        DeviceError: TensorBoard is not installed.
    """
    return Board(run_dir / "tensorboard")
