"""What an initialization must know of a model: its layers, and what stands behind each."""
