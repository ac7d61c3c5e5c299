import pytest

from paywall.models import Payment

pytestmark = pytest.mark.django_db


def test_smoke(client, item, buyer, facilitator):
    r = client.get("/item/")
    assert r.status_code == 402
    print(r.headers, r.content)
    r2 = client.get("/item/", headers=buyer.pays(r))
    print(r2.status_code, r2.headers, r2.content)
    assert r2.status_code == 200
    p = Payment.objects.get()
    print(p.__dict__)
    print([(e.kind, e.data) for e in p.events.all()])
    h = buyer.pays_v1(r)
    r3 = client.get("/item/", headers=h)
    print(r3.status_code, r3.headers, r3.content)
    assert r3.status_code == 200
    r4 = client.get("/item/", headers=h)
    assert r4.status_code == 402
    print(r4.content)
    r5 = client.get("/async-item/", headers=buyer.pays(r))
    print(r5.content)
