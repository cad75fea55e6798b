"""The one spider, and how it reads pages."""
