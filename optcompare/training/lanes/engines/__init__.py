"""Engines that compile a traced program."""
