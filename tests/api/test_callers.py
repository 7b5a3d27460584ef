"""Under which name a caller is counted."""

from pathlib import Path

import pytest
from served import settings_at

from placeprint.api.serving.callers import Doorkeeper, counted_as
from placeprint.api.serving.refusals import TooManyRequests


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.7", "192.0.2.7"),
     ("::ffff:192.0.2.7", "192.0.2.7"),
     ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
     ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
     ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
     ("fe80::1%eth0", "fe80::/64"),
     ("::1", "::/64"),
     ("testclient", "testclient"), ("-", "-")],
)  # fmt: skip
def test_an_address_counts_as_its_network(address: str, network: str) -> None:
    assert counted_as(None, address) == f"address {network}"


def test_a_key_counts_wherever_it_comes_from() -> None:
    assert counted_as("maps", "2001:db8::1") == counted_as("maps", "192.0.2.7") == "key maps"


def test_changing_the_address_within_a_network_does_not_help(tmp_path: Path) -> None:
    doorkeeper = Doorkeeper(settings_at(tmp_path, rate_per_minute=3))
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8::3:0:0"):
        doorkeeper.admit(None, address, "read")
    with pytest.raises(TooManyRequests):
        doorkeeper.admit(None, "2001:db8::abcd", "read")
    doorkeeper.admit(None, "2001:db8:0:1::1", "read")  # the next network
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"):
        doorkeeper.admit(None, address, "read")
    with pytest.raises(TooManyRequests):
        doorkeeper.admit(None, "192.0.2.7", "read")
    assert doorkeeper.bill("", "2001:db8::9").caller == doorkeeper.bill("", "2001:db8::8").caller
