"""Fixtures of the whole suite: pictures drawn by code, parameters, and how to run the command."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from anymus.files import atomic_folder, locked
from anymus.params import Params, load_params, read_preset
from hostile import RECIPE, Hostile, serve_hostile

if TYPE_CHECKING:
    from scrapers.report import ScrapeReport

ROOT = Path(__file__).parent.parent

# A shell that starts the suite in the background has Ctrl-C ignored, and every command that a test
# starts and interrupts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def params(tmp_path: Path) -> Params:
    """Return the demo preset's parameters, for one process."""
    path = tmp_path / "preset.yaml"
    path.write_text(read_preset("demo"), encoding="utf-8")
    return load_params(path, ["engine.workers=1", f"paths.sides={tmp_path / 'sides.txt'}"])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def colourful(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a smooth picture (60, 80, 3) in which every corner differs."""
    rows, columns = np.mgrid[0:60, 0:80]
    picture = np.stack([rows * 4, columns * 3, 255 - rows * 2 - columns], axis=2)
    return np.clip(picture + rng.integers(0, 4, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a collection that one worker draws for all of them; not to be changed."""
    from collection import collect

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / "collected"
    with locked(folder):
        if not folder.exists():
            with atomic_folder(folder) as partial:
                collect(partial)
    return folder


@pytest.fixture
def save_weights() -> Callable[..., Path]:
    """Return a function that saves a small generator of random weights, and returns its path."""
    import torch

    from training.checkpoint import save_generator
    from training.networks import Generator

    def save(folder: Path, direction: str = "a2b", seed: int = 0, size_px: int = 16) -> Path:
        torch.manual_seed(seed)
        generator = Generator(
            base_channels=4, image_size_px=size_px, residual_blocks=1, film="pooled"
        )
        path = folder / f"generator_{direction}.safetensors"
        save_generator(path, generator, {"direction": direction, "framing": {}, "step": 1})
        return path

    return save


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with small generators of random weights for both directions, of 32 px."""
    import torch

    from training.checkpoint import save_generator
    from training.networks import Generator

    folder = tmp_path_factory.mktemp("models")
    for direction in ("a2b", "b2a"):
        torch.manual_seed(2)
        generator = Generator(base_channels=4, image_size_px=32, residual_blocks=1, film="pooled")
        card = {"direction": direction, "framing": {"face_share": 0.55, "eye_line": 0.46}}
        save_generator(folder / f"generator_{direction}.safetensors", generator, card)
    return folder


@pytest.fixture
def anymus() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command line in a process of its own."""

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"}
        return subprocess.run(
            [sys.executable, "-m", "anymus.cli", *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """Return a context in which writes beyond the first 4 KiB of a file fail, as on a full disk.

    The limit holds for the whole process, so nothing but the code under test belongs inside: the
    test runner writes its own report to a file, too.
    """

    @contextmanager
    def limited() -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limited


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with serve_hostile() as site:
        yield site


@pytest.fixture
def crawl(params: Params, hostile: Hostile, tmp_path: Path) -> Callable[..., "ScrapeReport"]:
    """Return a function that crawls the hostile server into `tmp_path / "raw"`."""

    def run(
        start: str = "/", *, domains: str = "[127.0.0.1]", is_demo: bool = True, item: str = "li",
        is_refresh: bool = False, extra: str = "", **limits: object,
    ) -> "ScrapeReport":  # fmt: skip
        from scrapers.scrape import scrape

        url = start if "://" in start else hostile.url + start
        text = RECIPE.format(
            start=url, domains=domains, is_demo=str(is_demo).lower(), item=f'"{item}"'
        )
        (tmp_path / "hostile.yaml").write_text(text + extra)
        values = {"max_rejected_share": 1.0, "retries": 0, "timeout_s": 10.0} | limits
        changed = params.model_copy(
            update={
                "scrape": params.scrape.model_copy(update=values),
                "paths": params.paths.model_copy(
                    update={"blocklist": str(tmp_path / "blocklist.txt")}
                ),
            }
        )
        path = str(tmp_path / "hostile.yaml")
        return scrape(changed, path, tmp_path / "raw", is_refresh=is_refresh)

    return run
