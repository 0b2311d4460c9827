"""Functions of whole matrices that a rule may use, and how they run on stacks."""
