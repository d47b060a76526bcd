"""Draws a few images of each class on one picture."""

import contextlib
from collections.abc import Mapping
from typing import Any

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from pipeline.new_recipe.survey import Survey

_CELL, _GAP = 84, 8  # pixels of an image and its margin, and around columns
_NAME = 190  # width of the names
_MOST, _ROWS = 100, 25  # classes, and rows in a column
_BLACK, _GREY = (20, 20, 20), (110, 110, 110)


def draw(found: Survey, splits: Mapping[str, int]) -> PIL.Image.Image:
    """Draws a row for each class, in columns; `splits` has the expected images of each split."""
    names = list(found.classes)[:_MOST]
    columns = -(-len(names) // _ROWS)
    rows = -(-len(names) // columns)
    images = 8 if columns == 1 else 4
    width, top = _NAME + images * _CELL + _GAP, 3 * _GAP + 40
    sheet = PIL.Image.new('RGB', (columns * width + _GAP, top + rows * _CELL + _GAP), 'white')
    canvas, font = PIL.ImageDraw.Draw(sheet), _font()

    def write(text: str, left: int, y: int, most: int, colour: tuple[int, int, int]) -> None:
        canvas.text((left, y), _shortened(text, font, most), colour, font)

    shown = f', {_MOST} shown' if len(found.classes) > _MOST else ''
    head = f'{found.count:,} images, {len(found.classes):,} classes{shown}'
    expected = ', '.join(f'{number:,} {split}' for split, number in splits.items())
    write(head, _GAP, _GAP, columns * width - _GAP, _BLACK)
    write(f'splits: about {expected}', _GAP, 36, columns * width - _GAP, _GREY)
    for number, name in enumerate(names):
        left, y = _GAP + number // rows * width, top + number % rows * _CELL
        write(f'{number}: {name}', left, y + 20, _NAME - _GAP, _BLACK)
        write(f'{found.classes[name]:,} images', left, y + 42, _NAME - _GAP, _GREY)
        for place, image in enumerate(found.pictures[name][:images]):
            sheet.paste(image, (left + _NAME + place * _CELL, y))
    return sheet


def _font() -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    """A font of the system with the letters of many languages, else Pillow's, which has ASCII."""
    for name in ('DejaVuSans.ttf', 'NotoSans-Regular.ttf', 'Arial Unicode.ttf'):
        with contextlib.suppress(OSError):
            return PIL.ImageFont.truetype(name, 14)
    return PIL.ImageFont.load_default(15)


def _shortened(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f'{text}...') > width:
        text = text[:-1]
    return f'{text}...'
