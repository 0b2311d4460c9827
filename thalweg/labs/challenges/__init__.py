"""Labs on the challenges of optimization in deep learning."""
