"""What the commands share: streams, progress, options and their values, pages, exit codes."""
