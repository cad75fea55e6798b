"""Draw docs/images/serve.png: the page of `anymus serve` with a drawn portrait, in Chromium.

PYTHONPATH=tests python docs/draw_serve.py
"""

import argparse
import io
import tempfile
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from anymus.drawing.photo import draw_portrait
from anymus.files import write_bytes
from anymus.images import decode_rgb, encode_png, fit_rgb
from chromium import open_chromium
from inference.serve import Limits, Studio, open_studio

IMAGE = Path(__file__).parent / "images" / "serve.png"
WIDTH_PX = 900


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-g", "--weights", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=IMAGE)
    options = parser.parse_args()
    portrait = draw_portrait(np.random.default_rng([options.seed, 1]), 512, 512).rgb_u8
    studio = Studio(options.weights, "cpu", Limits())
    with (
        tempfile.TemporaryDirectory() as folder,
        open_studio(studio) as server,
        open_chromium() as page,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for("at('direction').options.length")
        picture = Path(folder) / "portrait.png"
        write_bytes(picture, encode_png(portrait))
        page.put_file("#file", picture)
        page.wait_for("!at('save').disabled && at('after').complete")
        page.run("split(50), at('state').textContent = '1 face'")
        page.run("new Promise(done => setTimeout(done, 300))")
        shot = fit_rgb(decode_rgb(page.screenshot()), WIDTH_PX)
        server.shutdown()
    buffer = io.BytesIO()
    Image.fromarray(shot).quantize(160).save(buffer, format="PNG", optimize=True)
    write_bytes(options.output, buffer.getvalue())


if __name__ == "__main__":
    main()
