"""Curation: from a pile of pictures to trainA, trainB, testA and testB."""
