"""The doctor and a recipe: a watched run with its checks, the remedies that are taken, and the page."""
