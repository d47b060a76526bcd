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
    text = PIL.ImageDraw.Draw(sheet)
    about = '' if found.is_exact else 'about '
    shown = f', {_MOST} shown' if len(found.classes) > _MOST else ''
    head = f'{about}{found.count:,} images, {len(found.classes):,} classes{shown}'
    expected = ', '.join(f'{number:,} {split}' for split, number in splits.items())
    font, whole = _font(), columns * width - _GAP
    text.text((_GAP, _GAP), _shortened(head, font, whole), _BLACK, font)
    text.text((_GAP, 36), _shortened(f'splits: about {expected}', font, whole), _GREY, font)
    for number, name in enumerate(names):
        left, y = _GAP + number // rows * width, top + number % rows * _CELL
        title = _shortened(f'{number}: {name}', font, _NAME - _GAP)
        text.text((left, y + 20), title, _BLACK, font)
        text.text((left, y + 42), f'{about}{found.classes[name]:,} images', _GREY, font)
        for place, image in enumerate(found.sample.pictures[name][:images]):
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
