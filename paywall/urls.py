"""What the paywall serves itself; mount it anywhere:

path("paywall/", include("paywall.urls"))
"""

from django.urls import path

from . import license_server, views
from .checkout import balance_views as balance
from .checkout import handler
from .checkout import views as checkout
from .discovery import views as discovery

app_name = "paywall"

urlpatterns = [
    path("receipts/<str:public_id>/", views.receipt, name="receipt"),
    path("begin/", views.begin, name="begin"),
    path("handler/", handler.method, name="handler"),
    path("handler/manifest.json", handler.manifest, name="handler_manifest"),
    path("handler/app.json", handler.app, name="handler_app"),
    path("handler/worker.js", handler.worker, name="handler_worker"),
    path("handler/wallet/", handler.wallet, name="handler_wallet"),
    path("handler/balance/", handler.balance, name="handler_balance"),
    path("handler/qr/", handler.qr, name="handler_qr"),
    path("unlock/<slug:slug>/", views.unlock, name="unlock"),
    path("gift/", views.gift, name="gift"),
    path("pay/<slug:method>/", checkout.start, name="pay"),
    path("orders/<str:public_id>/", checkout.order, name="order"),
    path("orders/<str:public_id>/returned/", checkout.returned, name="returned"),
    path("hooks/<slug:rail>/", views.hook, name="hook"),
    path("olp/token", license_server.token, name="license_token"),
    path("olp/introspect", license_server.introspect, name="license_introspect"),
    path("prices/", discovery.prices, name="prices"),
    path("balance/", balance.show, name="balance"),
    path("balance/add/<slug:slug>/", views.top_up, name="top_up"),
    path("balance/spend/", balance.spend, name="spend"),
    path("balance/back/", balance.ask_back, name="ask_back"),
    path("purchases/", views.purchases, name="purchases"),
    path("purchases/adopt/", views.adopt, name="adopt"),
    path("purchases/<int:pass_id>/close/", views.close_elsewhere, name="close_elsewhere"),
    path("sample/", views.sample, name="sample"),
    path("health/", views.health, name="health"),
    path("metrics/", views.prometheus, name="metrics"),
]
