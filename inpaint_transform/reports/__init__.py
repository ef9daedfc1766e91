"""What was done, written down and drawn."""
