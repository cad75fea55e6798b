"""Collecting pictures: site recipes, one polite gallery spider, local folders and the demo site."""
