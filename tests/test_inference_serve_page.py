"""The page of `anymus serve` in a real browser: drop, choose, webcam, slider, download, refusal."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from anymus.drawing.photo import draw_couple
from anymus.images import encode_jpeg, encode_png, read_rgb
from chromium import PROGRAM, Page, open_chromium
from inference.serve import Limits, Studio, open_studio
from training.checkpoint import save_generator
from training.networks import Generator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (apt-get install chromium)"),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    for direction in ("a2b", "b2a"):
        torch.manual_seed(2)
        generator = Generator(base_channels=4, image_size_px=32, residual_blocks=1, film="pooled")
        card = {"direction": direction, "framing": {"face_share": 0.55, "eye_line": 0.46}}
        save_generator(tmp_path / f"generator_{direction}.safetensors", generator, card)
    studio = Studio(tmp_path, "cpu", Limits(max_upload_mib=2))
    with open_studio(studio) as server, open_chromium() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for("at('direction').options.length === 2")
        yield page
        assert page.failures == []
        places = ("data:", "blob:", f"http://127.0.0.1:{server.server_port}/")
        assert [one for one in page.addresses if not one.startswith(places)] == []
        server.shutdown()


def test_a_picture_is_dropped_compared_and_downloaded(page: Page, tmp_path: Path) -> None:
    couple = draw_couple(np.random.default_rng([1, 1])).rgb_u8
    (tmp_path / "couple.png").write_bytes(encode_png(couple))
    page.put_file("#file", tmp_path / "couple.png")
    page.wait_for("!at('save').disabled && at('state').textContent.startsWith('2 faces')")
    page.wait_for("at('after').naturalWidth")
    assert page.run("at('after').naturalWidth") == couple.shape[1]
    assert page.run("split(25), at('after').style.clipPath") == "inset(0px 0px 0px 25%)"
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.run("at('save').click()")
    for _ in range(100):
        if (tmp_path / "couple-a2b.png").exists():
            break
        page.run("new Promise(done => setTimeout(done, 100))")
    saved = read_rgb(tmp_path / "couple-a2b.png")
    assert saved.shape == couple.shape
    page.run("at('mode').value = 'crop', changed()")
    page.wait_for("at('faces').children.length === 2")
    page.run("at('faces').children[1].click()")
    assert page.run("at('after').src === results[1].after")
    url = page.run("results[0].after")
    page.run("at('direction').value = 'b2a', at('tone').value = 5, at('mode').value = 'whole'")
    page.run("changed()")
    page.wait_for(f"results.length === 1 && results[0].after.length !== {len(url)}")


def test_what_is_dropped_or_refused(page: Page) -> None:
    couple = draw_couple(np.random.default_rng([1, 1])).rgb_u8
    page.run(f"window.bytes = Uint8Array.from({list(encode_jpeg(couple))})")
    drop = """(parts, name) => {
        const data = new DataTransfer();
        data.items.add(new File(parts, name));
        dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
    }"""
    page.run(f"({drop})([bytes], 'two.jpg')")
    page.wait_for("at('state').textContent.startsWith('2 faces')")
    page.run(f"({drop})(['no picture'], 'x.jpg')")
    page.wait_for("at('state').className === 'bad' && at('state').textContent.includes('cannot')")
    page.run(f"({drop})([new Uint8Array(3 * 2 ** 20)], 'x.jpg')")
    page.wait_for("at('state').textContent === 'The file is larger than 2 MB.'")
    page.run(
        "fetch('/api/translate', { method: 'POST', body: new Uint8Array(50 * 2 ** 20) })"
        ".then(answer => { window.refused = answer.status; })"
    )
    assert page.run("refused") == 413


def test_the_webcam_is_taken_once_and_live(page: Page) -> None:
    page.run("at('camera').click()")
    page.wait_for("at('video').videoWidth")
    page.run("at('shoot').click()")
    page.wait_for("at('state').textContent.startsWith('No face')")
    page.run("window.seen = new Set(), window.old = show")
    page.run(
        "show = value => { seen.add(value.results[0].after); old(value); }, at('live').click()"
    )
    page.wait_for("seen.size >= 2")
    page.run("at('camera').click()")
    assert page.run("stream === null && !isLive")
