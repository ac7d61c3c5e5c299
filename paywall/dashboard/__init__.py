"""The receipts dashboard: in the admin, and wherever a site mounts it:

path("dashboard/", include("paywall.dashboard.urls"))
"""
