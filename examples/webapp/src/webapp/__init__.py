"""A list of what is to be bought."""
