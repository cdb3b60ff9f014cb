"""Bugs planted in a copy of the product, each of which its own tests must catch."""
