"""Where batches come from: arrays, data sets and loaders; cached, weighted, made tensors on the way."""
