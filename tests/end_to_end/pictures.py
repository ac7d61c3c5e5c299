"""Takes the pictures of the docs anew: `python -m tests.end_to_end.pictures`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from site_demo.chain.local import LocalChain

from . import browser
from .browser import Desk
from .conftest import ROOT, demo_site, official_facilitator

PICTURES = {
    "dashboard": "/admin/paywall/dashboard/?period=365",
    "resources": "/admin/paywall/resource/?o=-5",
    "tester": "/admin/paywall/resource/tester/?url=/archive/2019/5/&method=GET",
    "receipt": "/admin/paywall/dashboard/receipts/{receipt}/",
}
NEWEST = "from paywall.models import Receipt; print(Receipt.objects.latest('issued_at').pk)"


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="paywall-pictures-"))
    with LocalChain() as chain, official_facilitator(chain) as facilitator:
        site = demo_site(folder, chain, facilitator)
        site.manage("migrate", "-v", "0")
        site.manage("seed_demo")
        site.manage("paywall_fake", "--payments", "60000")
        site.start()
        newest = site.shell(NEWEST).splitlines()[-1]
        with browser.browser() as started:
            desk = Desk(started, site.url, viewport={"width": 1360, "height": 900}).sign_in()
            desk.page.evaluate("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
            for name, path in PICTURES.items():
                page = desk.open(path.format(receipt=newest))
                page.wait_for_timeout(600)
                page.screenshot(path=ROOT / "docs" / "images" / f"{name}.png")
        site.kill()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
