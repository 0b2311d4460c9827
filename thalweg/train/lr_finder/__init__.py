"""The learning-rate finder: sweeps of rising rates, and the valley of their curve."""
