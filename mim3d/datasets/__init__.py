"""What prepares a data set: its data list, and one file per case."""
