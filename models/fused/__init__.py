"""Kernels of keywarp's own for what engines do slowly on a CPU, compiled when keywarp is installed."""

from .head import FusedHead as FusedHead
from .head import kernels as kernels
from .head import missing as missing
