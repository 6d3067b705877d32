"""Commands that prepare a data set: its list, and one file per case."""
