"""What can be wrong with a model, its data or its loss: tried before training, found while it fails."""
