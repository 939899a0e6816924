"""Recipes: published and own datasets as ordered gates and parameters."""
