"""What is known of a model: its layers, what stands behind each, and the kind of each parameter."""
