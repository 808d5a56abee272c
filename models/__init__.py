"""Models: networks in torch (to train and export), and what runs them from compiled parts (no torch)."""
