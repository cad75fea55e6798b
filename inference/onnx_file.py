"""Generators as ONNX files: the graph, and the facts and a SHA-256 in its metadata."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from anymus.errors import CheckpointError
from anymus.files import atomic_file
from training.weights_file import (
    FORMAT,
    GENERATOR_KIND,
    METADATA_KEY,
    Facts,
    damaged,
    parse_facts,
    require_kind,
)

ONNX_SUFFIX = ".onnx"
_UNSET = "0" * 64


def write_onnx(path: Path, graph: onnx.ModelProto, facts: Mapping[str, Any]) -> None:
    """Write a generator's graph with its facts as ONNX metadata, atomically.

    The facts' `sha256` is that of the whole file with 64 zeros in its own place.

    Args:
        path: ends in `.onnx`.
        graph: the metadata are added to it.
        facts: JSON values, as of a generator's weights file.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps({**facts, "format": FORMAT, "sha256": _UNSET})
    onnx.helper.set_model_props(graph, {METADATA_KEY: text})
    content = graph.SerializeToString()
    digest = hashlib.sha256(content).hexdigest()
    with atomic_file(path) as stream:
        stream.write(content.replace(_place_of(_UNSET), _place_of(digest)))


def read_onnx(path: Path) -> tuple[bytes, Facts]:
    """Return an ONNX file of `write_onnx`, verified, and its facts.

    Raises:
        CheckpointError: missing, damaged, or of another program.
    """
    try:
        content = path.read_bytes()
        properties = onnx.load_model_from_string(content).metadata_props
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file", "export first (anymus export)") from error
    except Exception as error:  # parsers of hostile bytes fail in many ways
        raise CheckpointError(
            f"{path}: damaged, or no ONNX file: {error}", "use another copy of the file"
        ) from error
    texts = [entry.value for entry in properties if entry.key == METADATA_KEY]
    facts = parse_facts(texts[0] if texts else "", path)
    saved = str(facts.pop("sha256", None))
    unsigned = content.replace(_place_of(saved), _place_of(_UNSET))
    if saved != hashlib.sha256(unsigned).hexdigest():
        raise damaged(path)
    require_kind(path, facts, GENERATOR_KIND)
    return content, facts


def _place_of(digest: str) -> bytes:
    return f'"sha256": "{digest}"'.encode()
