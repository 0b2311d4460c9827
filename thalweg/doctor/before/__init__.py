"""What can be said of a recipe before it trains: of its data, its model, and its settings."""
