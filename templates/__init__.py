"""Flex Templates: what the console asks for, made from the options, and the launchers."""

__all__ = ['metadata', 'parameters']
