"""The README's recipes as scripts that run: ``python -m benchmarks.recipes.NAME``."""
