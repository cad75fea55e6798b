from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anymus.errors import CheckpointError
from training.checkpoint import (
    TrainingState,
    find_not_finite,
    load_checkpoint,
    load_generator,
    save_checkpoint,
    save_generator,
)
from training.networks import Generator, build_networks
from training.step import LossWeights, make_optimizers, train_step

FullDisk = Callable[[], AbstractContextManager[None]]
ARCHITECTURE: dict[str, Any] = {
    "base_channels": 2,
    "image_size_px": 32,
    "residual_blocks": 1,
    "film": "pooled",
}
CARD = {"direction": "a2b", "framing": {"face_share": 0.5}, "step": 7}


def make_state(base_channels: int = 2, steps: int = 0) -> TrainingState:
    generator = ARCHITECTURE | {"base_channels": base_channels}
    networks = build_networks(generator, {"local": {"base_channels": 2, "layers": 4}}, seed=1)
    networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = make_optimizers(networks, lr=1e-3, betas=(0.5, 0.999), weight_decay=1e-4)
    state = TrainingState(
        networks, optimizers, Generator(**generator), Generator(**generator), loss_sums={"g": 0.1}
    )
    for _ in range(steps):
        one_step(state)
    return state


def one_step(state: TrainingState) -> None:
    rng = torch.Generator().manual_seed(state.step)
    x = torch.rand(2, 3, 32, 32, generator=rng) * 2 - 1
    train_step(state.networks, state.optimizers, x, x.flip(3), LossWeights(1, 10, 10, 1000))
    state.step += 1


def all_bits(state: TrainingState) -> list[torch.Tensor]:
    return [*state.networks.state_dict().values(), *state.ema_a2b.state_dict().values()]


def same_bits(first: TrainingState, second: TrainingState) -> bool:
    return all(torch.equal(x, y) for x, y in zip(all_bits(first), all_bits(second), strict=True))


def test_a_loaded_state_goes_on_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "step.safetensors"
    straight = make_state(steps=2)
    save_checkpoint(path, straight, {"run": "x"})
    loaded = make_state()
    assert load_checkpoint(path, loaded)["run"] == "x"
    assert (loaded.step, loaded.loss_sums) == (2, {"g": 0.1})
    for state in (straight, loaded):
        one_step(state)
        one_step(state)
    assert same_bits(straight, loaded)


def test_a_state_before_the_first_step_goes_on_too(tmp_path: Path) -> None:
    path = tmp_path / "step.safetensors"
    straight, loaded = make_state(), make_state(steps=1)
    save_checkpoint(path, straight, {})
    load_checkpoint(path, loaded)
    for state in (straight, loaded):
        one_step(state)
    assert same_bits(straight, loaded)


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    state = make_state(steps=1)
    paths = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for path in paths:
        save_checkpoint(path, state, {"b": 1, "a": 2})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_generator_comes_back_with_its_card(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    generator = Generator(**ARCHITECTURE | {"film": "flatten", "channel_multipliers": (2, 2, 4)})
    save_generator(path, generator, CARD)
    loaded, card = load_generator(path)
    assert {key: card[key] for key in CARD} == CARD
    assert loaded.arguments == generator.arguments
    assert not loaded.training
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(loaded(x).image, generator.eval()(x).image)


def _flip(position: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(position * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return damage


def _flip_step(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(rb"\"step\": 7") == 1
    path.write_bytes(content.replace(rb"\"step\": 7", rb"\"step\": 5"))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": lambda path: path.write_bytes(b"") and None,
    "html": lambda path: path.write_text("<!DOCTYPE html><title>404</title>") and None,
    "truncated": _truncate,
    "first byte": _flip(0.0),
    "half-way": _flip(0.5),
    "last byte": _flip(1.0),
    "step in the card": _flip_step,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_weights_are_refused_by_name(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    generator_path, checkpoint_path = tmp_path / "g.safetensors", tmp_path / "step.safetensors"
    save_generator(generator_path, Generator(**ARCHITECTURE), CARD)
    save_checkpoint(checkpoint_path, make_state(steps=7), {})
    damage(generator_path)
    damage(checkpoint_path)
    with pytest.raises(CheckpointError, match=r"g\.safetensors"):
        load_generator(generator_path)
    with pytest.raises(CheckpointError, match=r"step\.safetensors"):
        load_checkpoint(checkpoint_path, make_state())


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"stem.weight": torch.zeros(2, 3, 7, 7)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="another program"):
        load_generator(path)
    torch.save(Generator(**ARCHITECTURE).state_dict(), path)
    with pytest.raises(CheckpointError, match="no safetensors file"):
        load_generator(path)


def test_a_checkpoint_is_no_generator_and_the_other_way_round(tmp_path: Path) -> None:
    generator_path, checkpoint_path = tmp_path / "g.safetensors", tmp_path / "step.safetensors"
    save_generator(generator_path, Generator(**ARCHITECTURE), CARD)
    save_checkpoint(checkpoint_path, make_state(), {})
    with pytest.raises(CheckpointError, match="holds training weights"):
        load_generator(checkpoint_path)
    with pytest.raises(CheckpointError, match="holds generator weights"):
        load_checkpoint(generator_path, make_state())


def test_other_networks_are_refused_with_both_shapes(tmp_path: Path) -> None:
    path = tmp_path / "step.safetensors"
    save_checkpoint(path, make_state(base_channels=2), {})
    with pytest.raises(CheckpointError, match=r"\[2, 3, 7, 7\].*\[3, 3, 7, 7\]"):
        load_checkpoint(path, make_state(base_channels=3))


def test_the_file_opens_as_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    generator = Generator(**ARCHITECTURE)
    save_generator(path, generator, CARD)
    assert torch.equal(load_file(path)["head.weight"], generator.head.weight)


def test_a_full_disk_leaves_the_old_file_and_no_part(tmp_path: Path, full_disk: FullDisk) -> None:
    path = tmp_path / "step.safetensors"
    save_checkpoint(path, make_state(steps=1), {})
    before = path.read_bytes()
    changed = make_state(steps=2)
    with full_disk(), pytest.raises(OSError, match=r"step\.safetensors"):
        save_checkpoint(path, changed, {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_replaced_and_other_things_refused(tmp_path: Path) -> None:
    cache, link = tmp_path / "cache", tmp_path / "g.safetensors"
    cache.write_text("held by another")
    for make_link in (link.symlink_to, link.hardlink_to):
        make_link(cache)
        save_generator(link, Generator(**ARCHITECTURE), CARD)
        assert cache.read_text() == "held by another"
        assert load_generator(link)[1]["step"] == 7
        link.unlink()
    link.mkdir()
    for path in (link, Path("/dev/null")):
        with pytest.raises(CheckpointError, match="not a regular file"):
            save_generator(path, Generator(**ARCHITECTURE), CARD)


def test_a_weight_that_is_not_finite_is_named() -> None:
    state = make_state(steps=1)
    assert find_not_finite(state) is None
    with torch.no_grad():
        state.networks.generator_b2a.head.weight[0, 0, 0, 0] = float("inf")
    assert find_not_finite(state) == "networks.generator_b2a.head.weight"
