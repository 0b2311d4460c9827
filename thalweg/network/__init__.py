"""The graph of a model: what follows what, with shapes, parameters, FLOPs and the gauges of a run."""
