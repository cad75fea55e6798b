"""The dry run: right sizes, an estimate that holds, and nothing written."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

import training.cli
from anymus.params import Params
from training.dry_run import dry_run
from training.loop import build_networks_of

app = typer.Typer()
training.cli.register(app)


def test_sizes_are_those_of_the_networks_and_nothing_is_written(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--params", str(tmp_path / "preset.yaml"), "--dry-run", "--json"]
    arguments += ["-S", "train.image_size_px=32", "-S", "train.load_size_px=32"]
    arguments += ["-S", "train.discriminator.global_layers=0", "-S", "train.device=cpu"]
    before = sorted(tmp_path.rglob("*"))
    outcome = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert sorted(tmp_path.rglob("*")) == before
    report: dict[str, Any] = json.loads(outcome.stdout)
    assert report["parameters"]["train.generator.base_channels"] == 16
    shape = {"image_size_px": 32, "load_size_px": 32}
    judges = params.train.discriminator.model_copy(update={"global_layers": 0})
    networks = build_networks_of(
        params.train.model_copy(update={**shape, "discriminator": judges}), seed=0
    )
    count = sum(p.numel() for p in networks.parameters())
    assert report["parameters_all"] == count
    ours = sum(p.numel() for p in networks.generator_a2b.parameters())
    assert report["parameters_generator"] == ours
    assert report["memory_state_mib"] == pytest.approx((4 * count + 2 * ours) * 4 / 2**20, rel=0.01)
    assert report["seconds_per_iteration"] > 0
    assert report["pictures_a"] == 0


def test_checkpointing_and_smaller_pictures_are_seen_in_the_estimate(params: Params) -> None:
    shallow = params.train.discriminator.model_copy(update={"global_layers": 0})
    train = params.train.model_copy(update={"batch_size": 1, "discriminator": shallow})
    kept = {}
    for name, changes in (
        ("usual", {}),
        ("half", {"image_size_px": 32, "discriminator": shallow}),
        ("checkpointing", {"is_checkpointing": True}),
    ):
        changed = train.model_copy(update=changes)
        report = dry_run(changed, seed=1, dataset_dir=Path("absent"), is_measured=False)
        assert report.iteration_s is None
        kept[name] = report.kept_mib
    assert kept["half"] == pytest.approx(kept["usual"] / 4, rel=0.2)
    assert kept["checkpointing"] < 0.4 * kept["usual"]
    assert not torch.is_autocast_enabled("cpu")
