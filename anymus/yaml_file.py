"""YAML files that people write: read, and their faults told in one line."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from anymus.errors import ParamsError


def parse_yaml(text: str) -> Any:
    """Return what a text of YAML 1.2 holds: dicts, lists, strings, numbers.

    Raises:
        YAMLError: It is none.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    return yaml.load(text)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        ParamsError: It is none; the place is in the message.
        OSError: It cannot be read.
    """
    from ruamel.yaml.error import YAMLError

    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        text = " ".join(str(error).split())
        raise ParamsError(f"{path} is not YAML: {text}", "mend that line") from error


def describe_first(path: Path, error: ValidationError) -> str:
    """Return the first thing that is wrong with a file's values: file, key and why."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the file"
    return f"{path}: {where}: {first['msg']}"
