"""Primes and the Mandelbrot set: right values, whole pictures, wrong arguments."""

import base64
import io
import subprocess
import sys
import zlib
from itertools import pairwise

import pytest
from PIL import Image, ImageColor

from examples import _picture
from tasks import app, count_primes, draw_tile, sum_counts
from tasks.mandelbrot import LEFT, LIMIT_MAX, SPAN, packed, unpacked
from workers.local_stack.children import ROOT

WIDTH, HEIGHT, SIDE = 40, 30, 16  # the tiles at the right and lower edge are smaller


@pytest.fixture(scope="module")
def tiles():
    """A picture in six tiles, drawn by three processes in turn."""
    drawn = [draw_tile(x, y, SIDE, WIDTH, HEIGHT) for y in range(0, HEIGHT, SIDE) for x in range(0, WIDTH, SIDE)]
    return [{**tile, "host": f"host{number % 3 // 2}", "pid": 7 + number % 3} for number, tile in enumerate(drawn)]


@pytest.mark.parametrize(("limit", "known"), [(10, 4), (1000, 168), (10**6, 78_498)])
def test_parts_sum_up_to_pi(limit, known):
    cuts = [0, limit // 7, limit // 3, limit]
    assert sum_counts([count_primes(start, stop) for start, stop in pairwise(cuts)]) == known


def direct(column, line):
    """The rounds of a pixel, in real numbers and without an early end: a second way to the same value."""
    a, b = LEFT + SPAN * (column + 0.5) / WIDTH, SPAN * (HEIGHT / 2 - line - 0.5) / WIDTH
    re = im = 0.0
    far = []
    for number in range(LIMIT_MAX):
        if re * re + im * im > 4:
            far.append(number)
            break
        re, im = re * re - im * im + a, 2 * re * im + b
    return far[0] if far else LIMIT_MAX


def test_tiles_hold_the_values_of_a_direct_computation(tiles):
    seen = {}
    for tile in tiles:
        counts = unpacked(tile["counts"], tile["width"] * tile["height"])
        for number, count in enumerate(counts):
            line, column = divmod(number, tile["width"])
            seen[tile["x"] + column, tile["y"] + line] = count
    assert seen == {(column, line): direct(column, line) for column in range(WIDTH) for line in range(HEIGHT)}
    assert {seen[25, 15], seen[0, 0]} == {LIMIT_MAX, direct(0, 0)}  # within the set, and far from it
    assert direct(0, 0) < 5


def test_largest_result_is_small():
    noise = bytes(hash((number, 7)) * 2654435761 >> 7 & 255 for number in range(128 * 128))
    assert len(packed(noise)) < 24_000
    assert len(draw_tile(0, 0, 128, 4096, 4096, 1)["counts"]) < 24_000


def test_picture_read_back_has_size_frames_and_pixels(tiles, tmp_path):
    file = tmp_path / "picture.png"
    _picture.save(_picture.assemble(tiles, WIDTH, HEIGHT), file)
    with Image.open(io.BytesIO(file.read_bytes())) as read:
        assert (read.format, read.size, read.mode) == ("PNG", (WIDTH, HEIGHT), "RGB")
        pixels = {(x, y): read.getpixel((x, y)) for x in range(WIDTH) for y in range(HEIGHT)}
    colours = _picture.colours(tiles)
    for tile in tiles:
        left, top, right, low = tile["x"], tile["y"], tile["x"] + tile["width"] - 1, tile["y"] + tile["height"] - 1
        for x in range(left, right + 1):
            for y in range(top, low + 1):
                if x in (left, right) or y in (top, low):
                    assert pixels[x, y] == colours[_picture.process(tile)]
                else:
                    rounds = direct(x, y)
                    assert pixels[x, y] == ((0 if rounds == LIMIT_MAX else min(40 + 3 * rounds, 255)),) * 3


def test_each_process_has_one_colour_of_its_own_and_the_legend_counts_its_tiles(tiles, capsys):
    colours = _picture.colours(tiles)
    assert list(colours) == [("host0", 7), ("host0", 8), ("host1", 9)]
    assert len(set(colours.values())) == 3
    assert _picture.colours(reversed(tiles)) == colours
    _picture.show_legend(tiles)
    for said, (process, colour) in zip(capsys.readouterr().out.splitlines(), colours.items(), strict=True):
        code, place = said.split()[0], said.split(maxsplit=1)[1]
        assert ImageColor.getrgb(code) == colour
        assert place == f"{process[0]} pid {process[1]}: 2 tiles"
    many = _picture.colours({"host": "h", "pid": pid} for pid in range(40))
    assert len(set(many.values())) == 40


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda tiles: tiles[:-1], "some are missing"),
        (lambda tiles: [*tiles, tiles[0]], "on no other"),
        (lambda tiles: [{**tiles[0], "x": -1}, *tiles[1:]], "must lie in the picture"),
        (lambda tiles: [{**tiles[0], "width": 0}, *tiles[1:]], "must lie in the picture"),
        (lambda tiles: [{**tiles[0], "counts": "?"}, *tiles[1:]], "cannot be unpacked"),
        (lambda tiles: [{**tiles[0], "counts": base64.b64encode(b"??").decode()}, *tiles[1:]], "cannot be unpacked"),
        (lambda tiles: [{**tiles[0], "counts": packed(bytes(255))}, *tiles[1:]], "must be 256 bytes"),
        (lambda tiles: [{**tiles[0], "counts": packed(bytes(10**7))}, *tiles[1:]], "must be 256 bytes"),
        (
            lambda tiles: [
                {**tiles[0], "counts": base64.b64encode(zlib.compress(bytes(256))[:-3]).decode()},
                *tiles[1:],
            ],
            "must be 256 bytes",
        ),
    ],
)
def test_tiles_that_do_not_fit_are_one_line(tiles, wrong, text):
    with pytest.raises(ValueError, match=text) as raised:
        _picture.assemble(wrong(tiles), WIDTH, HEIGHT)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("enqueue", "text"),
    [
        (lambda: draw_tile.delay(0, 0, 129, 640, 480), "side must be a whole number from 1 to 128"),
        (lambda: draw_tile.delay(640, 0, 64, 640, 480), "x must be a whole number from 0 to 639"),
        (lambda: draw_tile.delay(0, -1, 64, 640, 480), "y must be a whole number from 0 to 479"),
        (lambda: draw_tile.delay(0, 0, 64, 5000, 480), "width must be a whole number from 1 to 4,096"),
        (lambda: draw_tile.delay(0, 0, 64, 640, "480"), "height must be a whole number from 1 to 4,096"),
        (lambda: draw_tile.delay(0, 0, 64, 640, 480, 256), "limit must be a whole number from 1 to 255"),
        (lambda: sum_counts.delay(7), "counts must be a list of at most 10,000 whole numbers, not 7"),
        (lambda: sum_counts.delay([1] * 10_001), "counts must be a list of at most 10,000 whole numbers"),
        (lambda: sum_counts.delay([1, -1]), "each of counts must be a whole number"),
    ],
)
def test_wrong_argument_is_one_line_in_the_producer(client, enqueue, text):
    with pytest.raises((TypeError, ValueError), match=text) as raised:
        enqueue()
    assert "\n" not in str(raised.value)
    assert not client.exists("cpu")


def test_signatures_of_a_chord_may_be_made():
    assert sum_counts.s().task == "tasks.cpu_bound.sum_counts"
    assert app.conf.task_default_queue == "cpu"


@pytest.mark.parametrize("name", ["picture.jpg", "no/such/folder/picture.png", "x" * 300])
def test_wrong_file_is_one_line(name):
    said = subprocess.run(
        [sys.executable, "-m", "examples.mandelbrot", name],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert said.returncode == 1
    assert said.stderr == f"the picture must go to a .png file in a folder that exists, not {name[:200]!r}\n"


def test_file_that_cannot_be_written_is_one_line(tiles, tmp_path):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(SystemExit, match=r"error: .*taken\.png cannot be written: Is a directory; name another file"):
        _picture.save(_picture.assemble(tiles, WIDTH, HEIGHT), tmp_path / "taken.png")


def test_programs_show_known_values_and_who_took_part(stack, tmp_path):
    said = {}
    for words in (["primes"], ["mandelbrot", str(tmp_path / "m.png")]):
        run = subprocess.run(
            [sys.executable, "-m", f"examples.{words[0]}", *words[1:]],
            cwd=ROOT, env=stack.env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout + run.stderr
        said[words[0]] = run.stdout
    assert "Primes below 100,000,000: 5,761,455\n" in said["primes"]
    assert said["mandelbrot"].count(" tiles\n") == 2  # a line for each of two processes
    with Image.open(tmp_path / "m.png") as read:
        assert read.size == (640, 448)
