"""The look of all figures, and a style file of one's own (``report --style FILE``).

Colours are Okabe and Ito's, which the colour-blind can tell apart; line style and marker say the same again. A user's
matplotlibrc counts where it is named, so that by default the same runs give the same bytes on every machine.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib import style as styles

from bench.text import one_line
from prefrl_core.errors import UserError

BLACK = "#000000"  # the control's, in every figure
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C7A00")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1)), (0, (8, 2)))
MARKERS = "os^DvPX<>"
# Fonts with Chinese, Japanese and Korean letters: those that are installed are asked for what DejaVu Sans lacks
_CJK = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Unifont",
)
CJK = tuple(name for name in _CJK if name in font_manager.get_font_names())
STYLE: Any = {
    "font.family": ["DejaVu Sans", *CJK],  # the others for letters that the first has not
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 9,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "path.simplify": False,
}
# Whatever a style file says: the same bytes each time, and a "$" in the name of an arm or a task is a letter
_ALWAYS: Any = {"svg.hashsalt": "prefrl", "text.parse_math": False, "axes.formatter.use_mathtext": False}
_OF_THE_MACHINE = ("backend", "interactive", "savefig.format", "text.usetex", "timezone", "toolbar")
_own: Any = {}  # settings of a style file, over STYLE


@dataclass(frozen=True)
class Look:
    """How one arm or series is drawn, the same in every figure."""

    color: str
    linestyle: Any
    marker: str


def look(index: int) -> Look:
    """The look of the arm or series at a place in its order."""
    shades = colours()
    return Look(shades[index % len(shades)], LINES[index % len(LINES)], MARKERS[index % len(MARKERS)])


def colours() -> tuple[str, ...]:
    """Of arms in their order: ours, or the cycle of the style in use."""
    cycle = _own.get("axes.prop_cycle")
    return tuple(cycle.by_key().get("color", COLOURS)) if cycle else COLOURS


def load(name: str) -> dict[str, Any]:
    """The settings of a style: a file in the form of a matplotlibrc, a style that Matplotlib knows by name, or
    "matplotlibrc" for the file that Matplotlib itself would read here.

    Raises:
        UserError: there is no such style, or a line of it is wrong.
    """
    if name in styles.library:
        return _drawing(dict(styles.library[name].items()))
    path = Path(mpl.matplotlib_fname() if name == "matplotlibrc" else name)
    if not path.is_file():
        raise UserError(
            f"--style {name}: no such file, and no style of Matplotlib's ({', '.join(styles.available[:5])}, ...)"
        )
    with _complaints() as said:
        try:
            found = mpl.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
        except Exception as error:  # whatever a validator raises
            said.append(one_line(error))
    if said:
        raise UserError(f"--style {name}: {said[0]}")
    return _drawing(dict(found.items()))


@contextmanager
def of_own(settings: Mapping[str, Any]) -> Iterator[None]:
    """Figures are drawn with these settings over ours."""
    _own.update(settings)
    try:
        yield
    finally:
        _own.clear()


@contextmanager
def styled() -> Iterator[None]:
    """Every figure is made and rendered under these settings."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # a box stands for it
        mpl.rcdefaults()  # the user's own matplotlibrc must not change the bytes
        mpl.rcParams.update(STYLE | _own | _ALWAYS)
        yield


def _drawing(found: Mapping[Any, Any]) -> dict[str, Any]:
    """Without what is of the machine and not of the picture, the backend for one."""
    return {key: value for key, value in found.items() if key not in _OF_THE_MACHINE}


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What Matplotlib logs of a file: it warns of a wrong line and reads on."""
    said: list[str] = []
    handler, logger = logging.Handler(logging.WARNING), logging.getLogger("matplotlib")
    handler.emit = lambda record: said.append(one_line(record.getMessage()))  # type: ignore[method-assign]
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
