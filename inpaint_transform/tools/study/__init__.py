"""Study: arms on the same draws of a data set, trained by the user's command, compared without claiming too much."""
