"""Optimizers of matrices, which refuse the vectors that the cases of the others have."""

OF_MATRICES = ("Muon", "NorMuon")
