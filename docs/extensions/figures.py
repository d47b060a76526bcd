"""Draws the figures of the documentation as SVG: bars of seconds, and curves of shares."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH = 720
_STYLE = (
    'font-family="system-ui, sans-serif" font-size="13" fill="#222"'  # on white, in both schemes
)
_COLOURS = ('#2563eb', '#d97706', '#b91c1c')
_ROW, _LABELS, _NUMBERS = 24, 190, 60  # height of a bar; width of the texts beside it


def bars(seconds: Mapping[str, float], caption: str) -> str:
    """A bar for each component."""
    scale = (WIDTH - _LABELS - _NUMBERS) / max(seconds.values())
    parts = []
    for row, (name, value) in enumerate(seconds.items()):
        y = 34 + row * _ROW
        parts += [
            _text(_LABELS - 8, y + 13, name, anchor='end'),
            f'<rect x="{_LABELS}" y="{y}" width="{max(value * scale, 1):.1f}" height="17" rx="2" '
            f'fill="{_COLOURS[0]}"/>',
            _text(_LABELS + value * scale + 6, y + 13, f'{value:.1f} s'),
        ]
    return _svg(caption, parts, 44 + len(seconds) * _ROW)


def lines(
    curves: Mapping[str, Sequence[tuple[int, float]]],
    caption: str,
    across: str,
    marks: Sequence[int],
) -> str:
    """Curves of shares (0 to 1) over a number, on a square-root axis, with labels at their ends."""
    left, right, top, bottom = 56, WIDTH - 170, 34, 280
    largest = max(x for points in curves.values() for x, _ in points)

    def place(x: float, share: float) -> tuple[float, float]:
        return left + (x / largest) ** 0.5 * (right - left), bottom - share * (bottom - top)

    parts = []
    for tenth in range(0, 11, 2):
        _, y = place(0, tenth / 10)
        parts.append(f'<path d="M{left} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(_text(left - 6, y + 4, f'{10 * tenth} %', anchor='end'))
    for mark in marks:
        x, _ = place(mark, 0)
        parts.append(f'<path d="M{x:.1f} {bottom}v5" stroke="#888"/>')
        parts.append(_text(x, bottom + 19, f'{mark:,}', anchor='middle'))
    parts.append(_text((left + right) / 2, bottom + 38, across, anchor='middle'))
    for (name, points), colour in zip(curves.items(), _COLOURS, strict=True):
        path = ' '.join('{:.1f},{:.1f}'.format(*place(*point)) for point in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = place(*points[-1])
        parts.append(_text(x + 8, y + 4, name, colour=colour))
    return _svg(caption, parts, bottom + 48)


def _text(x: float, y: float, text: str, anchor: str = 'start', colour: str = '') -> str:
    fill = f' fill="{colour}"' if colour else ''
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{fill}>{escape(text)}</text>'


def _svg(caption: str, parts: Sequence[str], height: float) -> str:
    return '\n'.join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {_STYLE} '
            f'role="img" aria-label="{escape(caption)}">',
            f'<rect width="{WIDTH}" height="{height}" rx="6" fill="#fff"/>',
            _text(12, 20, caption),
            *parts,
            '</svg>\n',
        ]
    )
