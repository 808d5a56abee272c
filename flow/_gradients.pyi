import numpy as np
from numpy.typing import NDArray

def kernels() -> tuple[str, ...]: ...
def scratch_bytes(width: int, height: int, /) -> int: ...
def refine(
    kernel: str,
    field: NDArray[np.float32],
    previous: NDArray[np.uint8],
    current: NDArray[np.uint8],
    light: NDArray[np.uint8] | None,
    valid: NDArray[np.bool_] | None,
    scratch: NDArray[np.uint8],
    width: int,
    height: int,
    steps: int,
    damping: float,
    longest: float,
    scale: float,
    /,
) -> None: ...
