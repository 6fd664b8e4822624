"""crossings."""
