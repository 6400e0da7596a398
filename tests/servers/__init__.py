"""Real servers for the tests, built from package registries and kept in a cache folder."""
