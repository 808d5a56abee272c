"""The curve: accuracy against time, over intervals, key-frame policies, flows and levels."""

from .film import Film, read_film
from .measure import Curve, Point, measure_curve
from .variants import Variant, make_variants

__all__ = ["Curve", "Film", "Point", "Variant", "make_variants", "measure_curve", "read_film"]
