"""Steps to the lowest point of a model within a radius: trust regions."""
