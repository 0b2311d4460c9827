"""A trained model in use: evaluated, asked for predictions, exported."""
