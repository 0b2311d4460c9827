"""Cards: what an optimizer or a rule is, what it costs, and the page of all of them."""
