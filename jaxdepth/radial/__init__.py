"""radial."""
