"""A trained model grows wider and deeper: which units go where, what is copied, what is put in between."""
