"""What augmentation costs on this machine: measured, said in words, plotted and written down."""
