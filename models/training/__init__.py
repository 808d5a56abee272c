"""Training of networks; needs the extra 'torch'."""
