"""Movies: optimizers on their way over a surface, in a page that steps them itself."""
