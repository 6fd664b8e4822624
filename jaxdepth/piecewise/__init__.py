"""piecewise."""
