"""Programs printed as JavaScript, for pages that step by the same rules."""
