"""How every picture looks, and how it is written.

Drawn with matplotlib's object interface: nothing is shown, and nothing stays in memory. The same
input gives the same bytes. The ending of a path, .svg or .png, chooses the format.
"""

import warnings
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE = {
    'font.family': 'DejaVu Sans',  # comes with matplotlib
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'svg.fonttype': 'none',  # text stays text
    'svg.hashsalt': 'pictures',
    'text.parse_math': False,  # a class may be called $x$
}
# Colours that the colour-blind can tell apart, after Okabe and Ito.
BLUE, VERMILION, YELLOW, GREY = '#0072B2', '#D55E00', '#F0E442', '#777777'


def save(figure: Figure, path: Path) -> None:
    """Writes a figure in the format that the path ends with."""
    unset = ('Date', 'Creator') if path.suffix == '.svg' else ('Software',)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph')  # the font lacks a letter: a box stands for it
        figure.savefig(path, dpi=150, metadata=dict.fromkeys(unset))


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure and invisible axes that cover it: inches from its upper left corner."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes
