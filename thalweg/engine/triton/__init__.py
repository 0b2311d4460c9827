"""Programs as Triton kernels, for tensors on GPUs of NVIDIA and AMD: one launch a pass over all tensors."""
