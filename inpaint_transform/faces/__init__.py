"""The frameworks' transforms: they turn samples into edits and write the results back."""
