"""Pictures that bear numbers, painted by test servers and read back by tests. Needs nothing but NumPy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

BITS = 32
_CHECK = 0xA5A5A5A5


class Painter:
    """Pictures as I420: a pattern that moves, under three rows of squares that hold two numbers and a check."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.width, self.height = size
        self.square = self.width // BITS
        self._across = (56 + 40 * np.sin(np.arange(2 * self.width) * 12 * np.pi / self.width)).astype(
            np.uint8
        )
        self._down = (40 + 40 * np.sin(np.arange(self.height) / 17)).astype(np.uint8)[:, None]
        self._chroma = np.full(self.width * self.height // 2, 128, np.uint8).tobytes()

    def luma(self, number: int, clock_ms: int) -> npt.NDArray[np.uint8]:
        """Brightness (H, W) of the picture that bears both numbers of 32 bits."""
        shift = number * 2 % self.width
        luma = self._down + self._across[shift : shift + self.width]  # (H, W)
        for row, value in enumerate((number, clock_ms, number ^ clock_ms ^ _CHECK)):
            bits = np.array([value >> bit & 1 for bit in range(BITS)], np.uint8)
            squares = np.repeat(np.where(bits == 1, 235, 16).astype(np.uint8), self.square)
            luma[row * self.square : (row + 1) * self.square, : squares.size] = squares
        return luma

    def paint(self, number: int, clock_ms: int) -> bytes:
        """The whole picture."""
        return self.luma(number, clock_ms).tobytes() + self._chroma


@lru_cache(maxsize=4)
def _painter(width: int, height: int) -> Painter:
    return Painter((width, height))


def read_code(luma: npt.NDArray[np.uint8]) -> tuple[int, int] | None:
    """The number and the clock in ms of a picture, from its brightness (H, W); None where it is smeared."""
    square = luma.shape[1] // BITS
    values = []
    for row in range(3):
        line = luma[row * square + square // 2, square // 2 : square * BITS : square]
        values.append(sum(1 << bit for bit, value in enumerate(line[:BITS]) if value > 126))
    number, clock_ms, check = values
    return (number, clock_ms) if number ^ clock_ms ^ _CHECK == check else None


def is_clean(luma: npt.NDArray[np.uint8]) -> bool:
    """Whether a picture is what was painted, all over: no block of it is of another picture."""
    code = read_code(luma)
    if code is None:
        return False
    painted = _painter(luma.shape[1], luma.shape[0]).luma(*code)
    difference = np.abs(painted.astype(np.int16) - luma)
    height, width = (length // 16 * 16 for length in luma.shape)
    blocks = difference[:height, :width].reshape(height // 16, 16, width // 16, 16).mean(axis=(1, 3))
    return bool(blocks.max() < 16)
