"""Wagtail pages that are sold: `INSTALLED_APPS = [..., "paywall", "paywall.contrib.wagtail"]`."""
