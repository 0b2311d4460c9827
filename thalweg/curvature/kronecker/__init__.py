"""Curvature by Kronecker factors, a block for each layer: K-FAC, and EKFAC in its eigenbasis."""
