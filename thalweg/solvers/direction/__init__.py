"""Where to go next: directions −H·g of steepest descent, conjugate gradients and quasi-Newton methods."""
