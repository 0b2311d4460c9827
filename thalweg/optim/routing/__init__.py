"""One optimizer for a whole model: which parameters go to which chain."""
