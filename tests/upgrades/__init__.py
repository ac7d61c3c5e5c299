"""Databases of released versions, with data in them, and what becomes of them.

When a version is tagged:   python -m tests.upgrades 0002_the_newest_migration
"""
