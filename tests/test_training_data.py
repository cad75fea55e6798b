from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anymus.errors import DatasetError, ImageError
from anymus.images import RgbU8, write_png
from anymus.shards import write_shard
from training.data import (
    Augmentation,
    UnpairedBatches,
    augment,
    find_pictures,
    light_otherwise,
    shadowed,
    to_signed,
    training_data_sha256,
)

PLAIN = Augmentation(load_size_px=16, image_size_px=16, flip_probability=0.0)
RANDOM = Augmentation(load_size_px=18, image_size_px=16, flip_probability=0.5)
MIB = 2**20


def flat_picture(level: int, size_px: int = 16) -> RgbU8:
    return np.full((size_px, size_px, 3), level, np.uint8)


def make_folders(root: Path, count_a: int, count_b: int) -> Path:
    """Write pictures of one level each: 1, 2, 3... in trainA and 101, 102... in trainB."""
    for side, count, first in (("A", count_a, 1), ("B", count_b, 101)):
        for index in range(count):
            write_png(root / f"train{side}" / f"{index:03d}.png", flat_picture(first + index))
    return root


def make_batches(root: Path, augmentation: Augmentation = PLAIN, **options: Any) -> UnpairedBatches:
    settings = {"seed": 1, "batch_size": 4, "cache_bytes": MIB} | options
    return UnpairedBatches(root, augmentation, **settings)


def levels(x_signed: torch.Tensor) -> list[int]:
    return [round(value) for value in ((x_signed[:, 0, 0, 0] + 1) * 127.5).tolist()]


@pytest.mark.parametrize("seed", [1, 2])
def test_each_epoch_shows_every_picture_once_in_its_own_order(tmp_path: Path, seed: int) -> None:
    batches = make_batches(make_folders(tmp_path, 8, 3), seed=seed)
    orders = []
    for epoch in range(4):
        seen = [level for step in (1, 2) for level in levels(batches.at(2 * epoch + step).real_a)]
        assert sorted(seen) == list(range(1, 9))
        orders.append(tuple(seen))
    assert len(set(orders)) == 4


def test_sides_of_different_length_go_round_each_for_itself(tmp_path: Path) -> None:
    batches = make_batches(make_folders(tmp_path, 3, 50))
    seen_a, seen_b = [], []
    for step in range(1, 26):
        real_a, real_b, _, _, _, names = batches.at(step)
        assert real_a.shape == real_b.shape == (4, 3, 16, 16)
        assert len(names) == 8
        seen_a += levels(real_a)
        seen_b += levels(real_b)
    assert all(sorted(seen_a[i : i + 3]) == [1, 2, 3] for i in range(0, 99, 3))
    assert sorted(seen_b[:50]) == sorted(seen_b[50:]) == list(range(101, 151))


def test_a_batch_is_a_function_of_its_step(tmp_path: Path) -> None:
    make_folders(tmp_path, 5, 7)
    rng = np.random.default_rng(0)
    for path in (tmp_path / "trainA").iterdir():
        write_png(path, rng.integers(0, 256, (20, 20, 3), np.uint8))
    first, uncached = make_batches(tmp_path, RANDOM), make_batches(tmp_path, RANDOM, cache_bytes=0)
    forward = [first.at(step).real_a for step in range(1, 8)]
    backward = [uncached.at(step).real_a for step in range(7, 0, -1)][::-1]
    assert all(torch.equal(x, y) for x, y in zip(forward, backward, strict=True))
    other = make_batches(tmp_path, RANDOM, seed=2).at(1).real_a
    assert not torch.equal(other, forward[0])


def test_augmentation_covers_all_crops_and_both_sides() -> None:
    picture = np.arange(18 * 18 * 3, dtype=np.uint32).astype(np.uint8).reshape(18, 18, 3)
    picture[..., 2] = np.arange(18)[:, None]
    picture[..., 1] = np.arange(18)
    seen = set()
    for index in range(400):
        crop = augment(picture, RANDOM, np.random.default_rng([3, index]))
        assert crop.shape == (16, 16, 3)
        is_flipped = bool(crop[0, 0, 1] > crop[0, 1, 1])
        left = min(crop[0, 0, 1], crop[0, -1, 1])
        seen.add((int(crop[0, 0, 2]), int(left), is_flipped))
    assert len(seen) == 3 * 3 * 2


def test_only_photos_get_another_light(tmp_path: Path) -> None:
    make_folders(tmp_path, 6, 6)
    for path in (tmp_path / "trainA").iterdir():
        write_png(path, flat_picture(128))
    lit = Augmentation(16, 16, flip_probability=0.0, gamma_jitter=0.8)
    jittered, plain = make_batches(tmp_path, lit).at(3), make_batches(tmp_path).at(3)
    assert torch.equal(jittered.real_b, plain.real_b)
    assert len(set(levels(jittered.real_a))) == 4
    assert torch.equal(jittered.real_a, make_batches(tmp_path, lit).at(3).real_a)


def test_a_share_of_the_photos_is_shown_in_grey(tmp_path: Path) -> None:
    make_folders(tmp_path, 100, 100)
    for index in range(100):
        for side in "AB":
            red = np.full((16, 16, 3), (200, 100, index), np.uint8)
            write_png(tmp_path / f"train{side}" / f"{index:03d}.png", red)
    filmed = Augmentation(16, 16, flip_probability=0.0, grey_share=0.3)
    shown = [make_batches(tmp_path, filmed).at(step) for step in range(1, 101)]
    photos = torch.cat([batch.real_a for batch in shown])
    is_grey = (photos == photos[:, :1]).all(dim=(1, 2, 3))
    assert 0.25 < is_grey.float().mean().item() < 0.35
    assert (photos[~is_grey][:, 0] == to_signed(np.uint8([[[[200]]]]).repeat(3, 3))[0, 0]).all()
    assert {round(x) for x in ((photos[is_grey][:, 0, 0, 0] + 1) * 127.5).tolist()} <= set(
        range(118, 131)
    )
    drawings = torch.cat([batch.real_b for batch in shown])
    assert not (drawings == drawings[:, :1]).all(dim=(1, 2, 3)).any()


def test_skin_is_matched_by_rank_before_another_light_falls_on_it(tmp_path: Path) -> None:
    make_folders(tmp_path, 4, 2)
    lit = Augmentation(16, 16, flip_probability=0.5, gamma_jitter=0.8)
    batches = make_batches(tmp_path, lit)
    assert batches.at(1).skin.tolist() == [[0.0] * 4, [0.0] * 4]
    batches.match_skin()
    for step in (1, 2):
        batch = batches.at(step)
        wanted = {
            name: round((x + 1) * 127.5, 3)
            for name, x in zip(batch.names, batch.skin.flatten().tolist(), strict=True)
        }
        photos = [wanted[f"trainA/{index:03d}.png"] for index in range(4)]
        assert photos == [101.125, 101.375, 101.625, 101.875]
        assert {wanted["trainB/000.png"], wanted["trainB/001.png"]} == {1.75, 3.25}
    part = make_batches(tmp_path, lit, share=slice(1, 3))
    part.match_skin()
    assert torch.equal(part.at(2).skin, batches.at(2).skin[:, 1:3])


def test_another_light_keeps_black_white_and_the_order_of_greys() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    middles = []
    for index in range(300):
        lit = light_otherwise(ramp, 0.8, np.random.default_rng(index))[0].astype(int)
        assert (lit[0] == 0).all()
        assert (lit[-1] == 255).all()
        assert (np.diff(lit, axis=0) >= 0).all()
        middles.append(np.log2(np.log(lit[128] / 255) / np.log(128 / 255)))
    overall, tint = np.mean(middles, axis=1), np.ptp(middles, axis=1)
    assert -1.0 <= np.min(middles) < overall.min() < -0.6  # rounded levels, hence a little play
    assert 0.6 < overall.max() < np.max(middles) < 1.01
    assert 0.2 < tint.max() < 0.41


def test_a_shadow_falls_on_one_side_and_is_no_deeper_than_asked() -> None:
    white = np.full((32, 48, 3), 255, np.uint8)
    deepest, sharpest = 255, 0.0
    for index in range(200):
        shaded = shadowed(white, 3.0, np.random.default_rng(index))
        again = shadowed(white, 3.0, np.random.default_rng(index))
        assert (shaded == again).all()
        assert (shaded == shaded[..., :1]).all()
        levels = shaded[..., 0].astype(float)
        tops = [levels[0, 0], levels[0, -1], levels[-1, 0], levels[-1, -1]]
        assert levels.max() == max(tops)  # along a line, light falls from one corner to another
        assert levels.min() == min(tops)
        deepest = min(deepest, levels.min())
        sharpest = max(sharpest, np.abs(np.diff(levels, axis=1)).max())
    assert 255 * 2 ** (-3 / 2.2) - 1 <= deepest < 255 * 2 ** (-2.7 / 2.2)
    assert sharpest > 20
    assert shadowed(white, 0.0, np.random.default_rng(1)) is white


def test_only_photos_to_translate_are_in_shadow(tmp_path: Path) -> None:
    make_folders(tmp_path, 6, 6)
    for path in (tmp_path / "trainA").iterdir():
        write_png(path, flat_picture(200))
    plain = make_batches(tmp_path).at(3)
    assert torch.equal(plain.shaded_a, plain.real_a)
    dim = make_batches(tmp_path, Augmentation(16, 16, 0.0, shadow_stops=4.0)).at(3)
    assert torch.equal(dim.real_a, plain.real_a)
    assert torch.equal(dim.real_b, plain.real_b)
    assert (dim.shaded_a <= dim.real_a).all()
    assert len({round(x, 3) for x in dim.shaded_a.mean(dim=(1, 2, 3)).tolist()}) == 4


def test_to_signed_spans_the_range() -> None:
    x = to_signed(np.stack([flat_picture(0), flat_picture(255)]))
    assert x.dtype == torch.float32
    assert x.shape == (2, 3, 16, 16)
    assert (x[0] == -1).all()
    assert (x[1] == 1).all()


def test_larger_pictures_are_reduced(tmp_path: Path) -> None:
    make_folders(tmp_path, 1, 1)
    write_png(tmp_path / "trainA" / "000.png", flat_picture(7, size_px=40))
    assert levels(make_batches(tmp_path).at(1).real_a) == [7] * 4


def test_a_picture_that_rots_between_epochs_is_named(tmp_path: Path) -> None:
    batches = make_batches(make_folders(tmp_path, 4, 4), cache_bytes=0)
    batches.at(1)
    rotten = tmp_path / "trainB" / "002.png"
    rotten.write_bytes(rotten.read_bytes()[:40])
    with pytest.raises(ImageError, match=r"trainB/002\.png"):
        batches.at(2)
    rotten.unlink()
    with pytest.raises(ImageError, match=r"trainB/002\.png"):
        batches.at(2)


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="trainA does not exist"):
        make_batches(tmp_path)
    (tmp_path / "trainA").mkdir()
    (tmp_path / "trainA" / "notes.txt").write_text("no picture")
    with pytest.raises(DatasetError, match="trainA holds no picture"):
        find_pictures(tmp_path / "trainA")


def test_data_hash_follows_names_and_bytes(tmp_path: Path) -> None:
    make_folders(tmp_path, 2, 2)
    before = training_data_sha256(tmp_path)
    write_png(tmp_path / "testA" / "000.png", flat_picture(9))
    assert training_data_sha256(tmp_path) == before
    write_png(tmp_path / "trainB" / "001.png", flat_picture(9))
    changed = training_data_sha256(tmp_path)
    (tmp_path / "trainB" / "001.png").rename(tmp_path / "trainB" / "002.png")
    assert len({before, changed, training_data_sha256(tmp_path)}) == 3


def test_shards_and_files_of_the_same_pictures_are_the_same_data(tmp_path: Path) -> None:
    files = make_folders(tmp_path / "files", 5, 3)
    shards = tmp_path / "shards"
    for side in ("trainA", "trainB"):
        paths = find_pictures(files / side)
        for number, part in enumerate((paths[:2], paths[2:])):
            members = [(path.name, path.read_bytes()) for path in part]
            write_shard(shards / side / f"shard-{number}.tar", members)
    assert training_data_sha256(shards) == training_data_sha256(files)
    for step in (1, 2, 7):
        one, other = make_batches(files, RANDOM).at(step), make_batches(shards, RANDOM).at(step)
        assert torch.equal(one.real_a, other.real_a)
        assert torch.equal(one.real_b, other.real_b)
    broken = shards / "trainA" / "shard-0.tar"
    broken.write_bytes(broken.read_bytes()[:700])
    with pytest.raises(DatasetError, match=r"shard-0\.tar"):
        find_pictures(shards / "trainA")
