"""The recipes of the README beside them as scripts that run: ``python -m benchmarks.recipes.NAME``."""
