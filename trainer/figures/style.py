"""Style and output of all figures.

Figures use matplotlib's object-oriented interface, so pyplot keeps none of them in memory. Output
is reproducible byte for byte. The file extension, .svg or .png, selects the format.
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
    'svg.fonttype': 'none',  # text, not paths
    'svg.hashsalt': 'pictures',
    'text.parse_math': False,  # a class may be called $x$
}
# Colour-blind safe palette of Okabe and Ito.
BLUE, VERMILION, YELLOW, GREY = '#0072B2', '#D55E00', '#F0E442', '#777777'


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as SVG or PNG, without date and version."""
    omitted = ('Date', 'Creator') if path.suffix == '.svg' else ('Software',)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph')  # a missing character is drawn as a box
        figure.savefig(path, dpi=150, metadata=dict.fromkeys(omitted))


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Makes a figure with invisible axes, in inches from the upper left corner."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes
