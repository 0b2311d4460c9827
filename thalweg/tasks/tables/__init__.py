"""Tables with named columns of several kinds, and what makes numbers of them."""
