"""The loss on planes through the parameters of trained runs, and the paths that runs took there."""
