import numpy as np
from numpy.typing import NDArray

def kernels() -> tuple[str, ...]: ...
def pack(
    features: NDArray[np.float32], packed: NDArray[np.float32], channels: int, cells: int, /
) -> None: ...
def labels(
    kernel: str,
    features: NDArray[np.float32],
    flow: NDArray[np.float32] | None,
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    scratch: NDArray[np.float32],
    labels: NDArray[np.uint8],
    height: int,
    width: int,
    channels: int,
    groups: int,
    group: int,
    first: int,
    last: int,
    /,
) -> None: ...
