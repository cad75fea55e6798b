"""The embedded demo site: drawn pictures over real HTTP on this machine."""
