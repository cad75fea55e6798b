"""params.yaml as one frozen object: every value one may tune, checked before anything runs."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anymus.errors import ParamsError
from anymus.manifest import Domain
from anymus.params_train import TrainParams
from anymus.yaml_file import parse_yaml, read_yaml

PRESETS_FOLDER = Path(__file__).parent / "presets"


class Section(BaseModel):
    """A frozen part of params.yaml that knows no key but its own.

    Its checks are built when first needed, as a part of those of `Params`: every start is quicker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class PathsParams(Section):
    """Where the stages put what they make, relative to the project's folder."""

    raw: str = Field(description="collected pictures, one folder a domain")
    blocklist: str = Field(description="what must never be collected or used (`anymus forget`)")
    detected: str = Field(description="manifests with the faces found")
    faces: str = Field(description="aligned face crops")
    unique: str = Field(description="manifests with the duplicate groups")
    dataset: str = Field(description="trainA, trainB, testA, testB")
    models: str = Field(description="checkpoints and exported generators")
    train_results: str = Field(description="metrics, curves and sample grids of training")
    evaluate_results: str = Field(description="metrics, plots and sheets of the evaluation")
    report: str = Field(description="HTML report of the data set and the run")
    metrics: str = Field(description="one flat JSON of figures a stage")
    overrides: str = Field(description="folder of CSV files: faces to keep, drop or move by hand")
    sides: str = Field(description="file with the side that every source picture was first given")


class EngineParams(Section):
    """How much of the machine the stages take."""

    workers: int = Field(
        ge=0,
        le=1024,
        description="worker processes; 0: one a usable core; 1: none, everything in this process,"
        " which a picture that crashes it then ends",
    )
    cluster: str | None = Field(
        description="address of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do the"
        " work and see the same files; null: this machine"
    )
    batch_size: int = Field(
        ge=1, le=10_000, description="pictures in one task of a cluster and one unit of resuming"
    )
    retries: int = Field(
        ge=0, le=10, description="further tries of a picture or a task whose worker died"
    )
    item_timeout_s: float = Field(
        gt=0, description="longest work on one picture before it is given up, seconds"
    )
    worker_memory_mib: int | None = Field(
        ge=256, description="most data memory of one worker process, MiB; null: no limit"
    )
    max_quarantined: int = Field(
        ge=0,
        description="most pictures that may crash, hang or exhaust a worker; with more of them a"
        " stage still writes all it has, then exits with 5",
    )


class ShardsParams(Section):
    """When pictures are kept in tar shards."""

    above: int | None = Field(
        ge=0, description="more pictures than this become shards; null: always plain files"
    )
    pictures: int = Field(ge=1, le=1_000_000, description="most pictures in a shard, on average")


class DemoSiteParams(Section):
    """How many pictures the embedded demo site draws."""

    portraits: int = Field(ge=1, le=100_000, description="pictures of photo-site")
    busts: int = Field(ge=1, le=100_000, description="single drawn faces of manga-site")
    pages: int = Field(ge=0, le=100_000, description="drawn black-and-white pages of manga-site")
    items_per_page: int = Field(ge=1, le=500, description="pictures on one gallery page")
    port: int = Field(ge=0, le=65535, description="loopback port it answers on; 0: any free one")


class SourcesParams(Section):
    """Which recipe fills which domain in `dvc repro`."""

    photo: str = Field(description="recipe of the photos")
    manga: str = Field(description="recipe of the drawings")


class QueriesParams(Section):
    """What a recipe with a `{query}` is asked for, by domain."""

    photo: str | None = Field(description="words of the photos' recipe; null: the recipe's own")
    manga: str | None = Field(description="words of the drawings' recipe; null: the recipe's own")


class ScrapeParams(Section):
    """How the crawl behaves."""

    sources: SourcesParams
    queries: QueriesParams
    contact: str | None = Field(
        description="mail address or URL put into the user agent; required beyond loopback"
    )
    has_read_api_terms: bool = Field(
        description="whether you have read, and keep, what a recipe's api.offered_at says: the"
        " API's own address may then be asked where robots.txt keeps crawlers out"
    )
    queue: str | None = Field(
        pattern=r"^rediss?://.+",
        description="URL of a Redis server through which several crawlers share one crawl;"
        " null: this machine crawls alone",
    )
    delay_s: float = Field(
        ge=1,
        le=3600,
        description="least time between two requests, seconds; a recipe's pace may allow less",
    )
    loopback_delay_s: float = Field(
        ge=0, le=3600, description="the same for the demo site on this machine, seconds"
    )
    timeout_s: float = Field(gt=0, le=3600, description="longest wait for one response, seconds")
    retries: int = Field(ge=0, le=20, description="further tries of a failed request")
    max_picture_bytes: int = Field(ge=1024, description="largest picture accepted, bytes")
    min_side_px: int = Field(ge=1, description="smallest side of an accepted picture, pixels")
    max_pages: int = Field(ge=1, description="most gallery pages read in one crawl")
    max_pictures: int = Field(ge=1, description="most pictures fetched in one crawl")
    max_bytes: int = Field(ge=1024, description="most bytes fetched in one run")
    max_seconds: float = Field(gt=0, description="longest run, seconds")
    max_frames: int = Field(ge=1, description="most frames of an animation; the first is used")
    max_pause_s: float = Field(
        ge=1, description="longest pause that a host may ask for before it is left alone, seconds"
    )
    cache_s: float = Field(
        ge=0, description="age up to which a page read earlier is not asked for again, seconds"
    )
    max_rejected_share: float = Field(
        ge=0, le=1, description="share of unusable pictures above which the crawl fails, 0-1"
    )
    demo_site: DemoSiteParams


class DetectorParams(Section):
    """Which detector looks at a domain, and what it may call a face."""

    detector: Literal[
        "dlib_hog", "dlib_cnn", "opencv_haar", "opencv_yunet", "manga_faces", "drawn_faces"
    ] = Field(description="name of the face detector")
    min_score: float = Field(
        description="least score, counted from the detector's own operating point"
    )
    min_face_px: int = Field(ge=8, description="least width of a face box, pixels")
    upsample: int = Field(ge=0, le=2, description="times the picture is doubled before looking")
    second_upsample: int = Field(
        ge=0, le=3, description="the same for a second look where the first found nothing"
    )
    second_look_share: float = Field(
        ge=0,
        le=1,
        description="and where the largest is narrower than this share of the longer side, 0-1",
    )
    max_side_px: int = Field(ge=64, description="longer pictures are reduced to this, pixels")
    max_faces: int = Field(ge=1, description="most faces taken from one picture")


class DetectParams(Section):
    """Face detection, by domain."""

    photo: DetectorParams
    manga: DetectorParams
    max_rejected_share: float = Field(
        ge=0, le=1, description="share of unreadable pictures above which the stage fails, 0-1"
    )

    def of(self, domain: Domain) -> DetectorParams:
        """Return the detector's parameters for a domain."""
        return self.photo if domain == "photo" else self.manga


class FramingParams(Section):
    """The one framing of both domains: where a face lies in its square crop."""

    size_px: int = Field(ge=16, le=2048, description="side of the square crop, pixels")
    face_share: float = Field(gt=0.05, le=1, description="face width over crop side, 0-1")
    eye_line: float = Field(gt=0, lt=1, description="height of the eyes, 0 top to 1 bottom")


class QualityLimits(Section):
    """What a face crop of one domain must be like; see curation/quality.py for the figures."""

    min_sharpness: float = Field(
        ge=0, description="least variance of the Laplacian of the crop at 128 px"
    )
    min_brightness: float = Field(ge=0, le=255, description="least mean luma, 0-255")
    max_brightness: float = Field(ge=0, le=255, description="most mean luma, 0-255")
    min_contrast: float = Field(ge=0, le=255, description="least standard deviation of the luma")
    max_turn: float = Field(
        ge=0, description="most that the nose lies beside the eyes' middle, eye distances"
    )
    max_roll_deg: float = Field(ge=0, le=180, description="most head roll taken out, degrees")
    min_saturation: float = Field(
        ge=0, le=255, description="least mean saturation: above 0 leaves grey pictures out"
    )
    max_saturation: float = Field(
        ge=0, le=255, description="most mean saturation: below 255 leaves colour pictures out"
    )
    max_lettering_share: float = Field(
        ge=0, le=1, description="most of a drawing's crop that lettering covers, 0-1"
    )
    needs_eyes: bool = Field(
        description="whether a face is rejected of which the detector did not find both eyes"
    )


class CropParams(Section):
    """Crops: framing and what is too poor to keep."""

    framing: FramingParams
    max_upscale: float = Field(gt=0, description="most that a face may be enlarged, times")
    max_outside_share: float = Field(
        ge=0, le=1, description="most of the crop that may lie outside the picture, 0-1"
    )
    max_face_outside_share: float = Field(
        ge=0, le=1, description="most of the face's box that may lie outside the picture, 0-1"
    )
    photo: QualityLimits
    manga: QualityLimits
    max_rejected_share: float = Field(
        ge=0, le=1, description="share of unreadable pictures above which the stage fails, 0-1"
    )

    def of(self, domain: Domain) -> QualityLimits:
        """Return the limits of a domain."""
        return self.photo if domain == "photo" else self.manga


class DedupeParams(Section):
    """Near-duplicates."""

    max_distance: int = Field(
        ge=0, le=16, description="most differing bits of the 64-bit hashes of two duplicates"
    )
    max_fine_distance: int = Field(
        ge=0, le=256, description="most differing bits of their 256-bit hashes"
    )
    is_mirror_aware: bool = Field(description="whether a mirrored picture is a duplicate, too")


class SplitParams(Section):
    """Training and test parts."""

    test_share: float = Field(gt=0, lt=1, description="share of new groups that go to test, 0-1")
    group_by: tuple[Literal["source_group", "title", "author", "page_url", "work_page"], ...] = (
        Field(
            strict=False,
            description="fields of the manifest whose equal values stay on one side; work_page: a"
            " page_url whose pictures have one title and one author",
        )
    )
    min_train: int = Field(ge=1, description="least number of training pictures in each domain")
    min_test: int = Field(ge=1, description="least number of test pictures in each domain")


class EvaluateParams(Section):
    """Evaluation on the test part."""

    device: str = Field(
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="where the generators run: auto (CUDA, else MPS, else CPU), cpu, cuda, mps",
    )
    feature_network: Literal["random_vgg", "inception"] = Field(
        description="network whose features the distances compare; figures of two networks are"
        " not comparable"
    )
    inception_weights: str | None = Field(
        description="file with the weights of Inception v3 as torch-fidelity has them; null: where"
        " torch keeps downloads; read only for feature_network: inception"
    )
    subset_size: int = Field(
        ge=2, description="pictures in one KID subset of kid_*_std; at most half of what there are"
    )
    subsets: int = Field(ge=2, le=10_000, description="number of KID subsets of kid_*_std")
    resamples: int = Field(
        ge=100, le=100_000, description="bootstrap resamples behind every 95 % interval"
    )
    batch_size: int = Field(ge=1, le=1024, description="pictures in one forward pass")
    sheet_rows: int = Field(
        ge=1, le=64, description="test pictures of each domain on the sample sheet"
    )


class ReportParams(Section):
    """The HTML report."""

    tiles: int = Field(ge=1, description="most pictures on one contact sheet; of more a sample")
    tile_px: int = Field(ge=16, description="side of a picture on a contact sheet, pixels")


class Params(Section):
    """All of params.yaml."""

    seed: int = Field(ge=0, description="the one seed of the run")
    paths: PathsParams
    engine: EngineParams
    shards: ShardsParams
    scrape: ScrapeParams
    detect: DetectParams
    crop: CropParams
    dedupe: DedupeParams
    split: SplitParams
    train: TrainParams
    evaluate: EvaluateParams
    report: ReportParams


def load_params(path: Path, overrides: list[str] | None = None) -> Params:
    """Return the checked parameters of a YAML file, with `key.path=value` overrides applied.

    Raises:
        ParamsError: The file is missing or no YAML, a key is unknown or missing, a value is out of
            bounds, or an override names no key; the key path and the value are in the message.
    """
    if not path.is_file():
        raise ParamsError(
            f"no parameter file {path}",
            f"run `anymus params use demo` to write one (presets: {', '.join(list_presets())})",
        )
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds no parameters", "run `anymus params use demo`")
    for override in overrides or []:
        _apply_override(values, override)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ParamsError(_describe(path, error), "`anymus params show` lists every key") from error


def list_presets() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in PRESETS_FOLDER.glob("*.yaml"))


def read_preset(name: str) -> str:
    """Return the YAML text of a shipped preset.

    Raises:
        ParamsError: There is no preset of that name.
    """
    if name not in list_presets():
        raise ParamsError(f"no preset {name!r}", f"one of: {', '.join(list_presets())}")
    return (PRESETS_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def describe_fields(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str]]:
    """Return (key path, type and bounds, description) of every leaf parameter of a model."""
    rows = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            rows += describe_fields(annotation, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, _describe_type(field), field.description or ""))
    return rows


def _describe_type(field: Any) -> str:
    name = (
        getattr(field.annotation, "__name__", None) if not _is_generic(field.annotation) else None
    )
    text = name or str(field.annotation).replace("typing.", "").replace("NoneType", "null")
    bounds = [str(item) for item in field.metadata]
    return " ".join([text, *bounds])


def _is_generic(annotation: Any) -> bool:
    return hasattr(annotation, "__args__")


def _apply_override(values: dict[str, Any], override: str) -> None:
    key_path, separator, text = override.partition("=")
    keys = key_path.strip().split(".")
    if not separator or not all(keys):
        raise ParamsError(f"override {override!r} is not key.path=value", "-S train.lr=2e-4")
    section: Any = values
    for depth, key in enumerate(keys):
        if not isinstance(section, dict) or key not in section:
            known = ", ".join(section) if isinstance(section, dict) else "no keys"
            where = ".".join(keys[: depth + 1])
            raise ParamsError(f"override {override!r}: unknown key {where}", f"known: {known}")
        if depth < len(keys) - 1:
            section = section[key]
    section[keys[-1]] = parse_yaml(text)


def _describe(path: Path, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        key_path = ".".join(str(part) for part in item["loc"])
        value = "" if item["type"] == "missing" else f" (value {item['input']!r})"
        lines.append(f"{key_path}: {item['msg']}{value}")
    return f"{path}: " + "; ".join(lines)
