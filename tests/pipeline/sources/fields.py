"""H.264 in field pictures, two packets a frame, written bit by bit: the encoders at hand write none."""

from __future__ import annotations

_MAIN_PROFILE, _LEVEL = 77, 30
_I_PCM = 25
_SPS, _PPS, _KEY_SLICE, _SLICE = 0x67, 0x68, 0x65, 0x61


class _Bits:
    """Bits in the codes of ITU-T H.264, 7.2 and 9.1."""

    def __init__(self) -> None:
        self._text = ""

    def u(self, bits: int, value: int) -> _Bits:
        self._text += format(value, f"0{bits}b")
        return self

    def ue(self, *values: int) -> _Bits:
        for value in values:
            code = format(value + 1, "b")
            self._text += "0" * (len(code) - 1) + code
        return self

    def align(self) -> _Bits:
        self._text += "0" * (-len(self._text) % 8)
        return self

    def nal(self, head: int) -> bytes:
        self.u(1, 1).align()
        packed = int(self._text, 2).to_bytes(len(self._text) // 8, "big")
        escaped, zeros = bytearray(), 0
        for byte in packed:
            if zeros >= 2 and byte <= 3:
                escaped.append(3)
                zeros = 0
            escaped.append(byte)
            zeros = 0 if byte else zeros + 1
        return b"\0\0\0\1" + bytes([head]) + bytes(escaped)


def _parameters() -> bytes:
    sps = _Bits().u(8, _MAIN_PROFILE).u(8, 0).u(8, _LEVEL)
    # sequence 0, frame numbers and picture orders in 4 and 8 bits, one reference, 1 x 1 macroblocks a field
    sps.ue(0, 0, 0, 4, 1).u(1, 0).ue(0, 0).u(5, 0b00100)
    pps = _Bits().ue(0, 0).u(2, 0).ue(0, 0, 0).u(3, 0).ue(0, 0, 0).u(3, 0)
    return sps.nal(_SPS) + pps.nal(_PPS)


def _field(number: int, bottom: int, brightness: int) -> bytes:
    """One field: of frame 0 a key picture and plain pixels, of the others the field before it again."""
    intra, key = number == 0, number == 0 and not bottom
    bits = _Bits().ue(0, 7 if intra else 5, 0).u(4, number % 16).u(1, 1).u(1, bottom)
    if key:
        bits.ue(0)
    bits.u(8, (2 * number + bottom) % 256)
    # no other references than by default, nothing marked
    bits.u((0 if intra else 2) + (2 if key else 1), 0).ue(0)
    if intra:
        bits.ue(_I_PCM).align()
        for _ in range(384):
            bits.u(8, brightness)
    else:
        bits.ue(1)
    return bits.nal(_KEY_SLICE if key else _SLICE)


def in_fields(groups: int, frames_each: int) -> bytes:
    """A raw film of 16x32 pixels: groups that begin with a key frame."""
    stream = b""
    for group in range(groups):
        stream += _parameters()
        for number in range(frames_each):
            for bottom in (0, 1):
                stream += _field(number, bottom, 60 + 40 * group)
    return stream
