"""Flex Templates: what the console asks for, made from the options, the launchers, and what a new
release does to a running job."""

__all__ = ['graphs', 'metadata', 'parameters', 'readme', 'spec', 'update']
