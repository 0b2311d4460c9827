"""The foreach engine: a program printed over lists of tensors, for any device."""
