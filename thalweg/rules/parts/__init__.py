"""Parts of chains: what goes before a rule, after it, or after the step."""
