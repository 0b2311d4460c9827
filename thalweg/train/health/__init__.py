"""Finding what is wrong with a model, its data or its loss, before training and when it fails."""
