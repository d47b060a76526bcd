"""Scenes: batches of a figure in front of a texture, with random colours, light and camera.

Everything except the class is random: colours, contrast, position, size, rotation, light, blur and
noise. `difficulty` is the amount of variation. At 0, figures are light with dark outlines,
backgrounds are darker, and all figures are upright and centred, mirrored or not. A network with
random weights starts to learn there; at 1 it does not, because any part may be lighter or darker
than any other, and no single filter correlates with a class.
"""

import dataclasses
import math

import tensorflow as tf

from pretraining import textures, tones

_GROUND, _FIGURE = (0.1, 0.45), (0.55, 1.0)  # ranges of gray at difficulty 0


class _Dice:
    """Random values for a batch; each call uses a separate random stream."""

    def __init__(self, seed: tf.Tensor, batch: int) -> None:
        self._seed, self._batch, self._calls = seed, batch, 0

    def uniform(self, low: float, high: float, *shape: int) -> tf.Tensor:
        return tf.random.stateless_uniform((self._batch, *shape), self._next(), low, high)

    def normal(self, *shape: int) -> tf.Tensor:
        return tf.random.stateless_normal((self._batch, *shape), self._next())

    def sign(self) -> tf.Tensor:
        return tf.where(self.uniform(0.0, 1.0) < 0.5, 1.0, -1.0)

    def colour(self) -> tf.Tensor:
        """Returns [batch, 3] in 0..1: a gray with a weak or strong tint."""
        tint = self.normal(3) * self.uniform(0.0, 0.375, 1)
        return tf.clip_by_value(self.uniform(0.0, 1.0, 1) + tint, 0.0, 1.0)

    def _next(self) -> tf.Tensor:
        self._calls += 1
        return self._seed + tf.constant([self._calls, 0], tf.int32)


@dataclasses.dataclass(frozen=True)
class Drawings:
    """The drawings of a batch of scenes.

    Attributes:
        figures: tones, uint8 [batch, tones.SIDE, tones.SIDE].
        grounds: background textures, uint8 [batch, textures.SIDE, textures.SIDE].
        coats: textures of the figures, shaped like `grounds`.
    """

    figures: tf.Tensor
    grounds: tf.Tensor
    coats: tf.Tensor


def compose(drawings: Drawings, size: int, seed: tf.Tensor, difficulty: tf.Tensor) -> tf.Tensor:
    """Composes scenes, float32 [batch, size, size, 3] in -1..1.

    Args:
        drawings: figures and textures.
        size: pixels, height and width.
        seed: int32 [2]; determines the batch.
        difficulty: float32 [], from 0 to 1.
    """
    dice = _Dice(seed, drawings.figures.shape[0])
    ground = _ground(drawings.grounds, size, dice, difficulty)
    figure, cover = _figure(drawings.figures, size, dice, difficulty)
    coat = _texture(drawings.coats, size, dice, difficulty) - 0.5
    strength = difficulty * dice.uniform(0.0, 1.2, 1, 1, 1)
    figure += cover * coat * strength * (0.5 + dice.colour()[:, None, None])
    scene = ground * (1 - cover) + figure
    return _photographed(scene, dice, difficulty) * 2 - 1


def _ground(grounds: tf.Tensor, size: int, dice: _Dice, difficulty: tf.Tensor) -> tf.Tensor:
    first = dice.colour()
    second = first + (dice.colour() - first) * dice.uniform(0.3, 1.0, 1)
    low, high = (
        (fixed + difficulty * (colour - fixed))[:, None, None]
        for fixed, colour in zip(_GROUND, (first, second), strict=True)
    )
    return low + (high - low) * _texture(grounds, size, dice, difficulty)


def _texture(drawn: tf.Tensor, size: int, dice: _Dice, difficulty: tf.Tensor) -> tf.Tensor:
    """Crops each texture at random: float32 [batch, size, size, 1] in 0..1."""
    scale = tf.exp(difficulty * dice.uniform(math.log(0.5), math.log(1.6)))
    corners = dice.uniform(-200.0, 200.0, 2)
    moves = _moves(size, textures.SIDE, scale * 0.75, dice, difficulty * 0.3, difficulty, corners)
    return _warp(tf.cast(drawn, tf.float32)[..., None] / 255, moves, size, 'WRAP')


def _figure(
    figures: tf.Tensor, size: int, dice: _Dice, difficulty: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns colours [batch, size, size, 3], black outside, and alpha [batch, size, size, 1]."""
    colours = tf.gather(_palette(dice, difficulty), tf.cast(figures, tf.int32), batch_dims=1)
    scale = tf.exp(difficulty * dice.uniform(math.log(2 / 3), math.log(1.55)))
    place = difficulty * size * dice.uniform(-0.2, 0.2, 2)
    moves = _moves(size, tones.SIDE, scale, dice, difficulty * 0.25, difficulty, place)
    warped = _warp(colours, moves, size, 'CONSTANT')
    return warped[..., :3], warped[..., 3:]


def _palette(dice: _Dice, difficulty: tf.Tensor) -> tf.Tensor:
    """Returns colour and alpha of each tone, [batch, tones, 4]: a ramp, colours, or a mix."""
    low, high = ((end + difficulty * (dice.colour() - end))[:, None] for end in _FIGURE)
    share = tf.linspace(0.0, 1.0, tones.TONES)[None, :, None]
    ramp = low + (high - low) * share
    # Steps of 7 modulo 16 keep neighbouring tones apart and distinct.
    fixed = 0.5 + tf.cast(tf.range(tones.TONES) * 7 % tones.TONES, tf.float32) / 30
    single = tf.clip_by_value(
        dice.uniform(0.05, 0.95, tones.TONES, 1) + dice.normal(tones.TONES, 3) * 0.2, 0.0, 1.0
    )
    single = fixed[None, :, None] + difficulty * (single - fixed[None, :, None])
    mixture = 0.7 + difficulty * (dice.uniform(0.0, 1.0, 1, 1) - 0.7)
    colours = ramp + (single - ramp) * mixture
    is_outline = tf.one_hot([tones.OUTLINE], tones.TONES)[0][None, :, None]
    dark = tf.cast(dice.uniform(0.0, 1.0, 1, 1) < 0.8, tf.float32) * 0.85
    cover = 1 - tf.one_hot([tones.OUTSIDE], tones.TONES)[0][None, :, None]
    cover = tf.broadcast_to(cover, (colours.shape[0], tones.TONES, 1))
    return tf.concat([colours * (1 - is_outline * dark) * cover, cover], axis=2)


def _moves(
    size: int,
    side: int,
    scale: tf.Tensor,
    dice: _Dice,
    turn: tf.Tensor,
    shear: tf.Tensor,
    place: tf.Tensor,
) -> tf.Tensor:
    """Returns random transforms for `_warp`, [batch, 8]: flip, scale, rotation, shear, shift.

    Args:
        size: side of the scene in pixels.
        side: side of the drawing in pixels.
        scale: [batch]; at 1 the drawing is as large as the scene, larger values show more of it.
        dice: random values.
        turn: standard deviation of the rotation in radians.
        shear: standard deviation of the shear, in tenths.
        place: shift in pixels of the scene, [batch, 2].
    """
    angle, step = turn * dice.normal(), scale * side / size
    cosine, sine = tf.cos(angle) * step, tf.sin(angle) * step
    slant, mirror = shear * 0.1 * dice.normal(), dice.sign()
    right_x, down_x = cosine * mirror, cosine * slant - sine
    right_y, down_y = sine * mirror, sine * slant + cosine
    x, y = (size - 1) / 2 + place[:, 0], (size - 1) / 2 + place[:, 1]
    middle = (side - 1) / 2
    start_x = middle - right_x * x - down_x * y
    start_y = middle - right_y * x - down_y * y
    none = tf.zeros_like(x)
    return tf.stack([right_x, down_x, start_x, right_y, down_y, start_y, none, none], axis=1)


def _warp(images: tf.Tensor, moves: tf.Tensor, size: int, beyond: str) -> tf.Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=moves,
        output_shape=[size, size],
        fill_value=0.0,
        interpolation='BILINEAR',
        fill_mode=beyond,
    )


def _photographed(scene: tf.Tensor, dice: _Dice, difficulty: tf.Tensor) -> tf.Tensor:
    """Adds directional light, blur, contrast and noise; values in 0..1."""
    size = scene.shape[1]
    steps = tf.linspace(-1.0, 1.0, size)
    angle = dice.uniform(0.0, 2 * math.pi, 1, 1)
    slope = tf.cos(angle) * steps[None, None, :] + tf.sin(angle) * steps[None, :, None]
    scene *= 1 + (slope * difficulty * dice.uniform(0.0, 0.45, 1, 1))[..., None]
    blurred = tf.nn.avg_pool2d(scene, 3, 1, 'SAME')
    scene += (blurred - scene) * difficulty * tf.nn.relu(dice.uniform(-1.0, 1.0, 1, 1, 1))
    mean = tf.reduce_mean(scene, [1, 2, 3], keepdims=True)
    contrast = 1 + difficulty * dice.uniform(-0.5, 0.3, 1, 1, 1)
    scene = (scene - mean) * contrast + mean + difficulty * 0.12 * dice.normal(1, 1, 1)
    grain = difficulty * tf.nn.relu(dice.uniform(-0.1, 0.08, 1, 1, 1))
    return tf.clip_by_value(scene + dice.normal(size, size, 3) * grain, 0.0, 1.0)
