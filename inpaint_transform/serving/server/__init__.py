"""The side of the shared server that paints."""
