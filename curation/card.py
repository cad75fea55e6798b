"""Card: what the data set is, for people (Markdown) and programs (JSON)."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anymus.files import sha256_file, write_json, write_text
from anymus.manifest import DOMAINS, MANIFEST_NAME, Domain, iter_kept
from anymus.params import Params

from .survey import Survey

JSON_NAME = "dataset_card.json"
MARKDOWN_NAME = "dataset_card.md"
_SECTIONS = ("detect", "crop", "dedupe", "split", "shards")
_MOST_ROWS = 50


def make_card(
    params: Params, surveys: Mapping[Domain, Survey], overrides: Mapping[str, int]
) -> dict[str, Any]:
    """Return the card: counts, sources, licences, split, parameters and hashes of the manifests.

    Args:
        params: All parameters.
        surveys: What the manifests say, by domain.
        overrides: How many decisions of each kind people made.
    """
    return {
        "domains": {domain: _describe(found) for domain, found in surveys.items()},
        "split": count_parts(Path(params.paths.dataset)),
        "overrides": dict(overrides),
        "seed": params.seed,
        "params": {name: getattr(params, name).model_dump(mode="json") for name in _SECTIONS},
        "manifests_sha256": _hash_manifests(params),
    }


def count_parts(dataset: Path) -> dict[str, int]:
    """Return the number of pictures in each part of the data set; empty before `split`."""
    if not (dataset / MANIFEST_NAME).is_file():
        return {}
    parts = Counter(str(row.file).partition("/")[0] for row in iter_kept(dataset))
    return dict(sorted(parts.items()))


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write the card as `dataset_card.json` and `dataset_card.md`."""
    write_json(folder / JSON_NAME, card)
    write_text(folder / MARKDOWN_NAME, _to_markdown(card))


def _describe(found: Survey) -> dict[str, Any]:
    return {
        "pictures_found": found.raw.kept + found.raw.rejected,
        "pictures_kept": found.raw.kept,
        "pictures_with_a_face": found.detected.kept,
        "faces_found": found.faces.kept + found.faces.rejected,
        "faces_kept": found.kept.total,
        "near_duplicate_groups": found.twin_groups,
        "rejected": {**found.raw.ordered_reasons(), **found.detected.ordered_reasons()},
        "rejected_faces": found.unique.ordered_reasons() or found.faces.ordered_reasons(),
        "left_out_by_split": found.dataset.ordered_reasons(),
        "sites": dict(found.sites.most_common(_MOST_ROWS)),
        "licences": [
            {"licence": licence, "url": url, "faces": count}
            for (licence, url), count in _ordered(found.licences)[:_MOST_ROWS]
        ],
        "authors": len(found.authors),
        "most_faces_of_one_author": max(found.authors.values(), default=0),
    }


def _ordered(counts: Counter[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _hash_manifests(params: Params) -> dict[str, str]:
    """Return the hashes of all manifests there are, by stage and domain."""
    paths = params.paths
    stages = {
        "scrape": paths.raw, "detect": paths.detected, "crop": paths.faces, "dedupe": paths.unique
    }  # fmt: skip
    files = {
        f"{stage} {domain}": Path(folder) / domain / MANIFEST_NAME
        for stage, folder in stages.items()
        for domain in DOMAINS
    }
    files["split"] = Path(paths.dataset) / MANIFEST_NAME
    return {name: sha256_file(path) for name, path in files.items() if path.is_file()}


def _to_markdown(card: Mapping[str, Any]) -> str:
    lines = ["# Data-set card", "", "Written by `anymus report`; A is photo, B is manga.", ""]
    if card["split"]:
        lines += ["| part | pictures |", "|---|---|"]
        lines += [f"| {part} | {count} |" for part, count in card["split"].items()]
    for domain, facts in card["domains"].items():
        lines += ["", f"## {domain}", "", "| what | count |", "|---|---|"]
        lines += [f"| {_say(name)} | {n} |" for name, n in facts.items() if isinstance(n, int)]
        for title in ("rejected", "rejected_faces", "left_out_by_split", "sites"):
            told = ", ".join(f"{_escape(name)} {n}" for name, n in facts[title].items())
            lines += ["", f"{_say(title).capitalize()}: {told or 'none'}."]
        lines += ["", "| licence | faces |", "|---|---|"]
        lines += [f"| {_link(item)} | {item['faces']} |" for item in facts["licences"]]
    told = ", ".join(f"{name} {n}" for name, n in card["overrides"].items())
    lines += ["", "## How it was made", "", f"Seed {card['seed']}. Overrides: {told}.", ""]
    lines += ["```json", json.dumps(card["params"], indent=2), "```", "", "Manifests, SHA-256:", ""]
    lines += [f"- {name}: `{sha256}`" for name, sha256 in card["manifests_sha256"].items()]
    return "\n".join(lines) + "\n"


def _say(name: str) -> str:
    return name.replace("_", " ")


def _link(item: Mapping[str, Any]) -> str:
    is_link = str(item["url"]).startswith(("http://", "https://"))
    name = _escape(str(item["licence"]))
    return f"[{name}](<{_escape(str(item['url']))}>)" if is_link else name


def _escape(text: str) -> str:
    """Return text that stays one cell of a Markdown table, whatever a web page put into it."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}" if sign not in "<>" else "")
    return " ".join(text.split())
