"""What a user calls an optimizer, and how it is bound to the parameters of a model."""
