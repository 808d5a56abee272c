"""Networks as torch modules, to train and to export. Nothing here is needed to run a model."""
