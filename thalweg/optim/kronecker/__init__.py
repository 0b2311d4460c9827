"""K-FAC as an optimizer: what it watches of a model, the layers' curvature, and the step."""
