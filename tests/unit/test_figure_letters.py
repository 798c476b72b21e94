"""Names in any script: a font that has the letters draws them; without one they are boxes, and nothing is said. Nothing
in a name is a formula."""

from __future__ import annotations

import html
import re
import warnings
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.axes import Axes

from bench.report import figures, style

LETTERS = "".join(chr(0x4E00 + number) for number in range(150)) + "かな한국어"


def drawn(name: str) -> figures.Image:
    """A figure with a name on its panel, its axes and its legend; a warning is an error."""

    def draw(axis: Axes) -> figures.Legend:
        (line,) = axis.plot([0, 1], [0, 1])
        axis.set(xlabel=name[:5], ylabel=name[:5])
        return {name[:20]: (line, "")}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return figures.image("names", name, {name: draw})


@pytest.mark.parametrize("name", ["a$_b", "$x^2$", "$\\frac{$", "cost: 5 $ or 10 $", r"\$5\$ a_{b}"])
@pytest.mark.parametrize("own", [{}, {"text.parse_math": True, "axes.formatter.use_mathtext": True}])
def test_a_dollar_is_a_letter(name: str, own: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(style.STYLE, "svg.fonttype", "none")  # text stays text
    with style.of_own(own):
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawn(name).svg.decode())
    expected = {html.escape(name, quote=False), html.escape(name[:5], quote=False)}
    assert expected <= set(texts) and "0.2" in texts and not any("mathdefault" in one for one in texts)


@pytest.mark.parametrize("name", [LETTERS, "😀 עברית"])
def test_letters_that_no_font_has_are_boxes_without_a_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(style.STYLE, "font.family", ["DejaVu Sans"])
    made = drawn(name)
    assert made.png.startswith(b"\x89PNG") and made.svg.rstrip().endswith(b"</svg>")


def test_a_font_that_has_them_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(style.STYLE, "font.family", ["DejaVu Sans"])
    boxes = drawn("漢 a")
    font(tmp_path / "font.ttf", style._CJK[0], "漢")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    font_manager.fontManager.addfont(tmp_path / "font.ttf")
    monkeypatch.setitem(style.STYLE, "font.family", ["DejaVu Sans", style._CJK[0]])
    assert drawn("漢 a").png != boxes.png
    assert mpl.rcParams["font.family"] != style.STYLE["font.family"]  # the user's own settings stay


def font(path: Path, family: str, letter: str) -> None:
    """A font of one letter, a triangle."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((500, 700))
    pen.lineTo((900, 0))
    pen.closePath()
    built = FontBuilder(1000)
    built.setupGlyphOrder([".notdef", "letter"])
    built.setupCharacterMap({ord(letter): "letter"})
    built.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "letter": pen.glyph()})
    built.setupHorizontalMetrics({".notdef": (500, 0), "letter": (1000, 0)})
    built.setupHorizontalHeader(ascent=800, descent=-200)
    built.setupNameTable({"familyName": family, "styleName": "Regular"})
    built.setupOS2()
    built.setupPost()
    built.save(path)
