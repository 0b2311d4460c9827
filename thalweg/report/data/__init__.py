"""What pages and tables read of a result: its entries, numbers as text, curves."""
