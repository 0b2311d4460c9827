"""What the sections of a page are made of: titles, tables, axes, colours."""
