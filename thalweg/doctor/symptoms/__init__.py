"""Symptoms, a family a file; `all.py` lists them."""
