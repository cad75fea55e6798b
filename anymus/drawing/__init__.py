"""Pictures drawn by code, photo-like and manga-like, that know where their faces are."""
