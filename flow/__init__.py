"""Optical flow: estimators, composition to the key frame, warping, key-frame policies, scenes with truth."""
