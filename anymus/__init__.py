"""Anymus: photo face to manga face, from a scraped picture to a converted folder."""
