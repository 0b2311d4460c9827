"""What makes a chain step a user's parameters: groups, schedules, state, plans, checkpoints."""
