"""Measurements: every number in a README comes from a script here and a result file under ``results/``."""
