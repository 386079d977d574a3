"""Models: one file per vendor behind one interface; shared code never asks which vendor."""
