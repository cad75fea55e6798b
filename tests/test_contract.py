"""What ties the four doors together: function, command, DVC stage, document."""

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import typer
from pydantic import BaseModel
from ruamel.yaml import YAML

import anymus.errors
from anymus.cli import build_app
from anymus.manifest import DOMAINS
from anymus.params import Params, describe_fields, read_preset

ROOT = Path(__file__).parent.parent
WINGS = ("anymus", "scrapers", "curation", "training", "inference")
SOURCES = [path for wing in WINGS for path in sorted((ROOT / wing).rglob("*.py"))]
DVC = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))


def _commands() -> dict[str, typer.models.CommandInfo]:
    app = build_app()
    return {
        str(info.name or getattr(info.callback, "__name__", "")).replace("_", "-"): info
        for info in app.registered_commands
    }


def _stage_items() -> Iterator[tuple[str, dict[str, object]]]:
    """Yield (stage, definition with the matrix variables filled in)."""
    for name, stage in DVC["stages"].items():
        domains = DOMAINS if "matrix" in stage else ("",)
        for domain in domains:
            text = repr(stage).replace("${item.domain}", domain)
            yield f"{name}@{domain}", ast.literal_eval(text)


def test_every_stage_runs_a_command() -> None:
    groups = {str(info.name) for info in build_app().registered_groups}
    for name, stage in _stage_items():
        words = str(stage["cmd"]).split()
        assert words[0] == "anymus", name
        assert words[1] in _commands() or words[1] in groups, name


def test_every_stage_is_named_by_its_command() -> None:
    for name in DVC["stages"]:
        assert DVC["stages"][name]["cmd"].split()[1] == name


def test_every_plot_is_written_by_a_stage() -> None:
    paths = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))["paths"]
    outs = [str(out) for _, stage in _stage_items() for out in stage["outs"]]
    for key, value in paths.items():
        outs = [out.replace(f"${{paths.{key}}}", str(value)) for out in outs]
    plots = [next(iter(plot)) if isinstance(plot, dict) else plot for plot in DVC["plots"]]
    assert len(plots) == 3
    for plot in plots:
        assert any(plot == out or plot.startswith(f"{out}/") for out in outs), plot


def test_every_parameter_of_a_stage_is_a_field() -> None:
    leaves = [key_path for key_path, _, _ in describe_fields(Params)]
    for name, stage in _stage_items():
        for key in stage.get("params", []):
            assert any(leaf == key or leaf.startswith(f"{key}.") for leaf in leaves), (name, key)


def test_every_stage_that_reads_a_section_lists_it() -> None:
    listed = {str(key).split(".")[0] for _, stage in _stage_items() for key in stage["params"]}
    ambient = {"paths", "engine"}  # where files lie and how many cores: no content depends on them
    assert listed | ambient == set(Params.model_fields)


def test_every_field_is_read_by_something() -> None:
    nodes = [
        node
        for path in SOURCES
        if not path.name.startswith("params")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    ]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    attributes |= {node.arg for node in nodes if isinstance(node, ast.arg)}  # handed on whole
    subscripts = [node.slice for node in nodes if isinstance(node, ast.Subscript)]
    attributes |= {str(part.value) for part in subscripts if isinstance(part, ast.Constant)}
    attributes |= set(DOMAINS)  # getattr(sources, domain)
    for key_path, _, _ in describe_fields(Params):
        assert key_path.rsplit(".", 1)[-1] in attributes, key_path


def test_the_committed_params_are_the_demo_preset() -> None:
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == read_preset("demo")


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _models(annotation)


def test_parameter_models_are_frozen_strict_and_without_defaults() -> None:
    for model in _models(Params):
        assert model.model_config.get("frozen"), model
        assert model.model_config.get("extra") == "forbid", model
        assert all(field.is_required() for field in model.model_fields.values()), model


def test_the_command_reference_is_what_the_commands_say() -> None:
    command = [sys.executable, str(ROOT / "docs" / "write_cli.py"), "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_every_error_is_documented() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    classes = [value for value in vars(anymus.errors).values() if inspect.isclass(value)]
    assert len(classes) >= 9
    for error in classes:
        row = re.search(rf"^\| (\d+) \| `{error.__name__}`", text, re.MULTILINE)
        assert row, error.__name__
        assert int(row[1]) == error.exit_code, error.__name__


def test_every_reason_is_documented() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    pattern = re.compile(r"""(?:reject\(|reason=|RequestError\()["']([a-z0-9_]+)["']""")
    reasons = {
        reason for path in SOURCES for reason in pattern.findall(path.read_text(encoding="utf-8"))
    }
    assert {"no_face", "truncated", "near_duplicate"} <= reasons
    for reason in sorted(reasons):
        assert f"`{reason}`" in text, reason


@pytest.mark.parametrize(
    "call",
    [
        r"cv2\.imread\b",
        r"cv2\.imwrite\b",
        r"cv2\.imdecode\b",
        r"cv2\.imencode\b",
        r"COLOR_[A-Z0-9]*BGR",
        r"Image\.open\b",
    ],
)
def test_one_module_reads_and_writes_pictures(call: str) -> None:
    users = [path.name for path in SOURCES if re.search(call, path.read_text(encoding="utf-8"))]
    assert set(users) <= {"encoded.py"}


def test_pickles_are_loaded_in_one_place_and_as_weights_only() -> None:
    users = {}
    for path in SOURCES:
        for line in re.findall(r"torch\.load\(.*", path.read_text(encoding="utf-8")):
            users[path.name] = line
    assert set(users) == {"pickled.py"}
    assert all("weights_only=True" in line for line in users.values())


def test_only_one_module_imports_torchvision() -> None:
    importers = {
        path.name
        for path in SOURCES
        if re.search(r"^\s*(import|from) torchvision", path.read_text(encoding="utf-8"), re.M)
    }
    assert importers <= {"torchlib.py"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from anymus.cli import build_app; build_app();"
        "print([m for m in ('torch','scrapy','numpy','cv2','pydantic','dlib','PIL','matplotlib')"
        " if m in sys.modules])"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.strip() == "[]"


def test_a_foreign_wing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = ModuleType("inference")
    import importlib.machinery

    foreign.__spec__ = importlib.machinery.ModuleSpec("inference", None, origin="elsewhere/i.py")
    monkeypatch.setitem(sys.modules, "inference", foreign)
    with pytest.raises(anymus.errors.AnymusError, match="elsewhere"):
        build_app()


def test_every_test_named_in_the_docs_exists() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py"))
    for page in (ROOT / "docs").rglob("*.md"):
        for name in re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")):
            assert f"def {name}(" in tests, (page.name, name)
