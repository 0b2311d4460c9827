"""The strategies: what is drawn for a layer, or computed from a batch for a whole model."""
