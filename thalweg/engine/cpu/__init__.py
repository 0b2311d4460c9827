"""The fused engine: programs as LLVM kernels for this processor, run over chunks on several threads."""
