"""The optimizers over solvers, which are not chains of rules and have no rows in the case table."""

SOLVERS = ("BFGS", "LBFGS", "LevenbergMarquardt", "NewtonCG", "SSBroyden")
