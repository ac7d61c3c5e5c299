"""This site as the facilitator of others: /verify, /settle and /supported, for who has a token.

Mount it and name the clients:

    path("facilitator/", include("paywall.fleet.urls"))
    PAYWALL = {"FACILITATOR_CLIENTS": {"shop": env("SHOP_TOKEN")}, ...}
"""
