"""The built-in tasks: real data from inside packages, and data made by a formula."""
