"""The engine: one seam, `map`, through which every station runs its parts."""
