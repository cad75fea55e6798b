"""Commands of use: convert, gif and export."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from anymus.errors import ParamsError
from anymus.options import BrowserOption, JsonOption, PortOption, print_report
from anymus.progress import set_up_logging

from .options import (
    MAX_ENLARGE,
    ConvertOptions,
    Direction,
    EngineName,
    ExportFormat,
    FacesMode,
    NoFaceMode,
    OnError,
    OutputFormat,
    PasteColour,
    Precision,
)

_PANEL = "Use"

WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "-g",
        "--weights",
        help="Weights: a name of `anymus weights list`, a file, or the folder of both.",
        show_default="drawn; of manga to photo drawn-small",
    ),
]
SetArgument = Annotated[Path, typer.Argument(help="A name of `anymus weights list`, or a folder.")]
SetDirectionOption = Annotated[
    Direction, typer.Option(help="Which of the folder's two generators.")
]
IterationsOption = Annotated[int, typer.Option(min=1, help="Of training.")]
RateOption = Annotated[float, typer.Option(min=0.0, help="Learning rate.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]

weights_app = typer.Typer(
    help="The weights that come with Anymus: list them, read a card; average, grey."
)


def register(app: typer.Typer) -> None:
    """Mount the wing's commands."""
    app.command("convert", rich_help_panel=_PANEL)(convert_command)
    app.command("gif", rich_help_panel=_PANEL)(gif_command)
    app.command("serve", rich_help_panel=_PANEL)(serve_command)
    app.command("export", rich_help_panel=_PANEL)(export_command)
    app.add_typer(weights_app, name="weights", rich_help_panel=_PANEL)


def convert_command(
    *,
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE...",
            help="Pictures, films, folders of them, or a quoted pattern; - is standard input.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="Folder of the results; for a picture also a file; - is standard output.",
        ),
    ] = Path("results"),
    weights: WeightsOption = None,
    prefix: Annotated[
        str | None, typer.Option("-p", "--prefix", help="Call results PREFIX-NAME.")
    ] = None,
    mosaic: Annotated[
        bool, typer.Option("-m", "--mosaic", help="Translate the full picture in blended tiles.")
    ] = False,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PX",
            help="Side of a mosaic's tiles.",
            show_default="as large as the memory allows",
        ),
    ] = None,
    max_memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="MIB",
            help="Memory that a mosaic's tiles may take.",
            show_default="1024",
        ),
    ] = None,
    faces: Annotated[
        FacesMode | None,
        typer.Option(
            help="One picture a face, faces pasted back, or no look for faces.",
            show_default="crop, for films paste",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=1024,
            metavar="PX",
            help="Side at which the network sees a face: larger, more of the person.",
            show_default="that of the weights",
        ),
    ] = None,
    no_face: Annotated[
        NoFaceMode, typer.Option(help="A picture without a face: its centre square, or nothing.")
    ] = "whole",
    direction: Annotated[
        Direction | None,
        typer.Option(help="Photo to manga, or manga to photo.", show_default="that of the weights"),
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            help="Format of the results; of a film, png, jpg and webp give a folder of frames.",
            show_default="png, a film its own",
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            help="Frames a second of a film's result, at most.", show_default="all, in a GIF 50"
        ),
    ] = None,
    max_side: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            help="Longer side of the result of a film, a mosaic or pasted faces, at most.",
        ),
    ] = None,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Put the input to the left of each result.")
    ] = False,
    heatmap: Annotated[
        bool,
        typer.Option("--heatmap", help="Put where the network looked to the right of each result."),
    ] = False,
    strength: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the translation, the rest is the input.")
    ] = 1.0,
    screentone: Annotated[
        float | None,
        typer.Option(
            metavar="PX", help="Black and white: greys as dots, so many pixels apart (3 to 64)."
        ),
    ] = None,
    enlarge: Annotated[
        int,
        typer.Option(
            min=1,
            max=MAX_ENLARGE,
            help="Results so many times as large, the lines of drawings redrawn sharp.",
        ),
    ] = 1,
    paste_colour: Annotated[
        PasteColour | None,
        typer.Option(
            help="Pasted faces: meet the picture's colours at the seam, keep their own, or take"
            " on the picture's.",
            show_default="match",
        ),
    ] = None,
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Keep results newer than their picture and weights."),
    ] = False,
    on_error: Annotated[
        OnError, typer.Option(help="After a picture that cannot be read: go on, or end there.")
    ] = "continue",
    keep_metadata: Annotated[
        bool,
        typer.Option(
            "--keep-metadata", help="Keep EXIF with the place, and a film's title; else dropped."
        ),
    ] = False,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Pictures in one forward pass.", show_default="1 on a CPU, else 8"
        ),
    ] = None,
    device: DeviceOption = "auto",
    engine: Annotated[
        EngineName,
        typer.Option(help="What runs the network; auto is OpenCV on a CPU and torch elsewhere."),
    ] = "auto",
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")] = False,
    is_json: JsonOption = False,
) -> None:
    """Translate a picture, a film, an animated GIF, or a folder of them.

    Sources are never changed. Pictures that cannot be read are listed, the others are done, and the
    exit code is 5. A film that was interrupted goes on where it was; --skip-existing does that for
    a folder.
    """
    from .report import print_summary
    from .streams import STREAM, convert_streams

    if verbose:
        set_up_logging(is_verbose=True, is_quiet=False)
    if is_json and output == STREAM:
        raise ParamsError("--json and -o - both write to standard output", "leave one out")
    options = ConvertOptions(
        weights=weights,
        direction=direction,
        faces=faces,
        size_px=size,
        is_mosaic=mosaic,
        tile_px=tile,
        max_memory_mib=max_memory,
        no_face=no_face,
        prefix=prefix,
        format=output_format,
        is_side_by_side=side_by_side,
        has_heatmap=heatmap,
        strength=strength,
        screentone_px=screentone,
        enlarge=enlarge,
        paste_colour=paste_colour,
        is_skip_existing=skip_existing,
        on_error=on_error,
        is_metadata_kept=keep_metadata,
        fps=fps,
        max_side_px=max_side,
        batch_size=batch,
        device=device,
        engine=engine,
    )
    report = convert_streams(sources, output, options)
    if is_json:
        text = json.dumps(report.as_json(), indent=2, ensure_ascii=False)
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")
    else:
        print_summary(report)
    report.require_success()


def gif_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The frames, all of one size.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The film to write.")] = Path(
        "film.gif"
    ),
    fps: Annotated[float, typer.Option(help="Frames a second, at most 50.")] = 12.0,
    is_json: JsonOption = False,
) -> None:
    """Make an animated GIF of a folder of frames, in the order of their names."""
    from .gif import make_gif

    print_report(make_gif(folder, output, fps), is_json)


def export_command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file, ending in .onnx or .safetensors.")
    ],
    weights: WeightsOption = None,
    direction: Annotated[
        Direction | None,
        typer.Option(help="Which of a folder's two generators.", show_default="a2b"),
    ] = None,
    export_format: Annotated[
        ExportFormat | None,
        typer.Option("--format", help="Format of the file.", show_default="that of the suffix"),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="fp16 stores weights in half the bytes.")
    ] = "fp32",
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, for the card inside the file.")
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Figures of these weights, for the card: metrics.json of evaluate."),
    ] = None,
    is_json: JsonOption = False,
) -> None:
    """Write a generator as ONNX, or as smaller weights, with its card inside.

    The file is checked against the weights: the figures are levels of 255 by which it translates a
    drawn portrait differently. `anymus convert -g FILE` takes it.
    """
    from .export import export
    from .translator import find_weights

    report = export(
        find_weights(weights, direction),
        output,
        direction=direction,
        export_format=export_format,
        precision=precision,
        licence=licence,
        metrics=metrics,
    )
    print_report(report, is_json)


def serve_command(
    *,
    weights: WeightsOption = None,
    port: PortOption = 0,
    max_upload: Annotated[
        int, typer.Option(min=1, max=64, metavar="MIB", help="Largest file that is taken.")
    ] = 16,
    max_megapixels: Annotated[
        float, typer.Option(min=0.1, max=64, help="Largest picture that is taken.")
    ] = 24.0,
    per_minute: Annotated[
        int, typer.Option(min=1, help="Pictures a minute; more are asked to wait.")
    ] = 240,
    device: DeviceOption = "auto",
    browser: BrowserOption = True,
) -> None:
    """Translate pictures on a page in the browser, served to this machine alone, until Ctrl-C.

    Drop, choose or paste a picture, or use the webcam. Nothing is sent elsewhere, and nothing that
    is sent to the page is written to disk.
    """
    from .serve import Limits, serve

    limits = Limits(max_upload, max_megapixels, per_minute)
    serve(weights, device, limits, port, has_browser=browser)


@weights_app.command("list")
def list_weights(is_json: JsonOption = False) -> None:
    """List the weights that come with Anymus, and check their bytes."""
    from anymus.shipped import list_shipped

    from .report import print_weights

    print_weights(list_shipped(), is_json=is_json)


@weights_app.command("card")
def show_card(
    name: Annotated[str, typer.Argument(help="A name of `anymus weights list`.")],
) -> None:
    """Print the model card of weights: data, licence, recipe, figures, limits."""
    from anymus.shipped import read_card

    sys.stdout.write(read_card(name))


@weights_app.command("average")
def average_weights(
    first: SetArgument,
    second: Annotated[Path, typer.Argument(help="Another, trained from the first, or as it.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Folder for the mean, of the directions that both have."
        ),
    ],
    share: Annotated[float, typer.Option(help="Of the second in the mean, between 0 and 1.")] = 0.5,
    is_json: JsonOption = False,
) -> None:
    """Write the mean of the weights of two runs, the second begun from the first or beside it.

    Such a mean is often steadier than either; that of two unrelated runs draws nothing.
    """
    from .average import average_both

    print_report(average_both(first, second, share, output), is_json)


@weights_app.command("grey")
def grey_weights(
    weights: SetArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the generator without colours.")
    ],
    direction: SetDirectionOption = "a2b",
    is_json: JsonOption = False,
) -> None:
    """Write weights that draw in greys alone, for drawings that have no colour.

    A network that learned from grey drawings still tints what it is unsure of. Here red, green and
    blue of its last layer become one.
    """
    from .generator_file import weights_name
    from .grey import take_colour
    from .translator import find_weights

    source = find_weights(weights, direction)
    print_report(take_colour(source, output / weights_name(direction)), is_json)


@weights_app.command("widen")
def widen_weights(
    weights: SetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the wide generator.")],
    direction: SetDirectionOption = "a2b",
    times: Annotated[int, typer.Option(min=1, max=16, help="How many times the channels.")] = 2,
    size: Annotated[
        int | None,
        typer.Option(min=16, max=2048, help="Side of its pictures.", show_default="as before"),
    ] = None,
    is_json: JsonOption = False,
) -> None:
    """Write a generator with more channels that draws the same, to be trained on.

    `train.start_from` widens by itself; this is for a folder whose two generators differ in width.
    """
    from .generator_file import weights_name
    from .translator import find_weights
    from .wider import write_wider

    source = find_weights(weights, direction)
    print_report(write_wider(source, output / weights_name(direction), times, size), is_json)


@weights_app.command("deepen")
def deepen_weights(
    *,
    weights: SetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the generator.")],
    dataset: Annotated[
        Path, typer.Option(help="Folder with trainA and testA (way back: trainB and testB).")
    ] = Path("data/processed"),
    direction: SetDirectionOption = "a2b",
    channels: Annotated[int, typer.Option(min=1, max=256, help="Of its first layer.")] = 32,
    iterations: IterationsOption = 500,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos an iteration.")] = 4,
    lr: RateOption = 2e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of new layers and order.")] = 20240501,
    device: DeviceOption = "auto",
    is_json: JsonOption = False,
) -> None:
    """Write a generator for pictures of twice the side, with another one inside, to be refined.

    It halves pictures once more, so what is inside sees faces as large as before, at a third of the
    cost of that generator at twice its size. The new layers learn from the data set's photos.
    """
    from training.deepen import DeepenOptions, deepen

    from .generator_file import weights_name
    from .translator import find_weights

    options = DeepenOptions(
        base_channels=channels,
        iterations=iterations,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        device=device,
    )
    source = find_weights(weights, direction)
    print_report(deepen(source, dataset, output / weights_name(direction), options), is_json)


@weights_app.command("distil")
def distil_weights(
    *,
    weights: SetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the small generator.")],
    dataset: Annotated[
        Path, typer.Option(help="Folder with trainA and testA (way back: trainB and testB).")
    ] = Path("data/processed"),
    direction: SetDirectionOption = "a2b",
    size: Annotated[int, typer.Option(min=16, max=1024, help="Side of its pictures.")] = 128,
    channels: Annotated[int, typer.Option(min=1, max=256, help="Of its first layer.")] = 32,
    lessons: Annotated[int, typer.Option(min=1, help="Pictures that are translated.")] = 2000,
    iterations: IterationsOption = 6000,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs an iteration.")] = 4,
    lr: RateOption = 5e-4,
    seed: Annotated[
        int, typer.Option(min=0, help="Of weights, light, order and crops.")
    ] = 20240501,
    start: Annotated[
        Path | None, typer.Option(help="Weights of the small shape to begin with.")
    ] = None,
    device: DeviceOption = "auto",
    is_json: JsonOption = False,
) -> None:
    """Write a small generator that draws what a large one draws, for films and slow machines.

    The large one translates pictures of the data set, once as they are and then in other light; the
    small one learns from these pairs. Compared on testA in the end.
    """
    from training.distil import DistilOptions, distil

    from .generator_file import weights_name
    from .translator import find_weights

    options = DistilOptions(
        size_px=size,
        base_channels=channels,
        lessons=lessons,
        iterations=iterations,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        start_from=None if start is None else find_weights(start, direction),
        device=device,
    )
    source = find_weights(weights, direction)
    print_report(distil(source, dataset, output / weights_name(direction), options), is_json)


@weights_app.command("sitters")
def show_sitters(
    *,
    dataset: Annotated[Path, typer.Option(help="Folder with trainA and its manifest.")] = Path(
        "data/processed"
    ),
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the sheets and sitters.csv.")
    ],
    is_json: JsonOption = False,
) -> None:
    """Show photos whose sitter `refine --wall-share` cannot cut out surely, for you to choose.

    Each row of a sheet is a photo with its number and five cuts. Write the number of the right one
    into the column `cut` of sitters.csv, 0 where none is, and give the table to `refine --sitters`.
    """
    from training.sitter_choices import write_sheets

    print_report(write_sheets(dataset, output), is_json)


@weights_app.command("refine")
def refine_weights(
    *,
    weights: SetArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the generator.")],
    others: Annotated[
        list[Path] | None, typer.Option("--with", help="Weights that also draw each photo; again.")
    ] = None,
    learns_from_own: Annotated[
        bool, typer.Option("--own/--no-own", help="Learn from own drawings, or from --with alone.")
    ] = True,
    dataset: Annotated[Path, typer.Option(help="Folder with trainA, trainB and testA.")] = Path(
        "data/processed"
    ),
    best: Annotated[int, typer.Option(min=1, help="Drawings that a lesson is made of.")] = 5,
    portraits: Annotated[
        Path | None,
        typer.Option(help="Table of who sits in which photo: our renderer draws the lessons."),
    ] = None,
    twins: Annotated[
        int, typer.Option(min=0, help="People that are drawn both ways and learned from, too.")
    ] = 0,
    lesson_weight: Annotated[
        float, typer.Option(min=0.0, help="Of the difference to lessons, beside 1 for realism.")
    ] = 10.0,
    around_weight: Annotated[
        float, typer.Option(min=0.0, help="How many times as much lessons weigh around heads.")
    ] = 1.0,
    lesson_tones: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of lessons' tones that counts beside lines."),
    ] = 1.0,
    twin_weight: Annotated[float, typer.Option(min=0.0, help="Of the difference to twins.")] = 5.0,
    skin_weight: Annotated[
        float, typer.Option(min=0.0, help="Of the order of skin, by its light in the photos.")
    ] = 2.0,
    even_weight: Annotated[
        float, typer.Option(min=0.0, help="Of skin in patches, where lessons have one tone.")
    ] = 0.0,
    rough_share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Of photos: so many soft, as JPEG, noisy."),
    ] = 0.0,
    wall_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Of sitters: so many before other walls; paper around lessons."
        ),
    ] = 0.0,
    sitters: Annotated[
        Path | None,
        typer.Option(help="Table of cuts that a person chose, see `anymus weights sitters`."),
    ] = None,
    fade_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of photos: so many faded, as old prints.")
    ] = 0.0,
    lamp_share: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Of photos: so many as lit by a lamp from one side."),
    ] = 0.0,
    plain_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Of photos: so many as they are.")
    ] = 0.0,
    darken_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Of --portraits of light skin: so often with dark skin."
        ),
    ] = 0.0,
    disguise_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Of --portraits without: so often with a beard or glasses."
        ),
    ] = 0.0,
    variants: Annotated[
        int,
        typer.Option(min=1, max=20, help="Each of those with so many others, in turn."),
    ] = 1,
    judges_know_dataset: Annotated[
        bool,
        typer.Option(
            "--judge-by-dataset",
            help="Beside --portraits, discriminators know the data set's drawings.",
        ),
    ] = False,
    augment_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Of what discriminators see: so many recoloured, shifted, cut."
        ),
    ] = 0.0,
    margin_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.25, help="Left, right and above: so much discriminators do not see."
        ),
    ] = 0.0,
    iterations: IterationsOption = 2000,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos an iteration.")] = 2,
    lr: RateOption = 1e-4,
    seed: Annotated[
        int, typer.Option(min=0, help="Of discriminators, light and order.")
    ] = 20240501,
    device: DeviceOption = "auto",
    is_compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the networks first: minutes, then quicker.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0, help="Processes that prepare pictures.", show_default="on a GPU 12 at most"
        ),
    ] = None,
    is_json: JsonOption = False,
) -> None:
    """Let a generator from photo to manga learn from what the best drawings of photos agree on.

    Each photo of the data set is drawn as it is, mirrored, lighter and darker, by the generator
    itself and those of --with; a detector of drawn faces and the eyes' place judge the drawings. An
    hour of two CPU cores, or minutes of a GPU.
    """
    from training.refine import RefineOptions, refine

    from .generator_file import weights_name
    from .translator import find_weights

    options = RefineOptions(
        others=tuple(find_weights(path, "a2b") for path in others or ()),
        learns_from_own=learns_from_own,
        best=best,
        portraits=portraits,
        twins=twins,
        lesson_weight=lesson_weight,
        around_weight=around_weight,
        lesson_tones=lesson_tones,
        twin_weight=twin_weight,
        skin_weight=skin_weight,
        even_weight=even_weight,
        rough_share=rough_share,
        wall_share=wall_share,
        sitters=sitters,
        fade_share=fade_share,
        lamp_share=lamp_share,
        plain_share=plain_share,
        darken_share=darken_share,
        disguise_share=disguise_share,
        variants=variants,
        judges_know_dataset=judges_know_dataset,
        augment_share=augment_share,
        margin_share=margin_share,
        iterations=iterations,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        device=device,
        is_compiled=is_compiled,
        workers=workers,
    )
    source = find_weights(weights, "a2b")
    print_report(refine(source, dataset, output / weights_name("a2b"), options), is_json)
