"""Descent along directions with line searches: the loop for one run and for several, and bounds."""
