"""The eager engine: programs as PyTorch calls, tensor by tensor, on any device, dtype and layout."""
