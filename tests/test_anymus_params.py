"""params.yaml is checked whole before anything runs."""

from pathlib import Path

import pytest

from anymus.errors import ParamsError
from anymus.params import Params, describe_fields, list_presets, load_params, read_preset


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(read_preset("demo"), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_is_valid(name: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(read_preset(name), encoding="utf-8")
    assert isinstance(load_params(path), Params)


EXPERIMENTS = Path(__file__).parent.parent / "experiments"
RECORDED = sorted(
    path.parent.relative_to(EXPERIMENTS).as_posix() for path in EXPERIMENTS.rglob("params.yaml")
)


@pytest.mark.parametrize("name", RECORDED)
def test_the_parameters_of_a_recorded_run_still_load(name: str) -> None:
    size_px = 256 if name in ("drawn", "drawn/fifth", "manga", "manga/second") else 128
    assert load_params(EXPERIMENTS / name / "params.yaml").train.image_size_px == size_px


def test_overrides_speak_yaml_1_2(demo: Path) -> None:
    loaded = load_params(demo, ["train.lr=2e-4", "scrape.contact=me@example.org", "seed=9"])
    assert loaded.train.lr == 2e-4
    assert (loaded.scrape.contact, loaded.seed) == ("me@example.org", 9)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("split.test_share=1.5", "split.test_share"),
        ("split.test_share=yes", "split.test_share"),
        ("crop.framing.size=9", "crop.framing.size"),
        ("nonsense", "nonsense"),
        ("seed.deep=1", "seed.deep"),
        ("train.gamma_jitter=3", "train.gamma_jitter"),
    ],
)
def test_a_bad_override_is_named(demo: Path, override: str, named: str) -> None:
    with pytest.raises(ParamsError) as caught:
        load_params(demo, [override])
    assert named in caught.value.message
    assert caught.value.exit_code == 2


def test_the_strict_order_is_the_official_port_and_nothing_more(demo: Path) -> None:
    with pytest.raises(ParamsError, match="official port's, without tone_weight"):
        load_params(demo, ["train.order=strict", "train.tone_weight=1"])
    assert load_params(demo, ["train.order=strict"]).train.order == "strict"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{}", "seed"),
        ("[1, 2]", "holds no parameters"),
        ("a: [", "not YAML"),
        (read_preset("demo") + "\nsplitt:\n  x: 1\n", "splitt"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=named):
        load_params(path)


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        load_params(tmp_path / "params.yaml")
    assert "anymus params use demo" in str(caught.value.hint)


def test_every_parameter_is_described() -> None:
    for key_path, kind, description in describe_fields(Params):
        assert len(description) > 10, key_path
        assert kind, key_path
