"""Pairs with exact flow: textured shapes that move over a moving picture, after FlyingChairs.

Dosovitskiy et al., "FlowNet: Learning Optical Flow with Convolutional Networks" (ICCV 2015), section 4.2, with
shapes cut out of pictures in the place of rendered chairs, and with backgrounds that also move as a street
does from a car.
"""

from .pair import FlowPair as FlowPair
from .pair import make_pair as make_pair
