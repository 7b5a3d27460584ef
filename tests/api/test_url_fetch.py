"""Photos from elsewhere: only from named hosts, only public ones, at the address that was checked."""

import asyncio
from typing import Any

import httpx
import pytest
from served import TRIPS, is_problem, make_gallery, picture, serving

from placeprint.api.serving.refusals import BodyTooLarge, UrlRefused
from placeprint.api.serving.url_fetch import UrlFetcher, is_public

PUBLIC = "93.184.216.34"
PHOTO = picture("red")

WRONG = [
    "http://photos.example.org/a.jpg", "file:///etc/passwd", "gopher://photos.example.org/",
    "ftp://photos.example.org/a",
    "//photos.example.org/a", "photos.example.org/a", "", "https://", "https:///a", "https://photos.example.org:8443/a",
    "https://user@photos.example.org/a", "https://user:pw@photos.example.org/a", "https://photos.example.org@10.0.0.1/a",
    "https://10.0.0.1/a", "https://127.0.0.1/a", "https://2130706433/a", "https://0177.0.0.1/a", "https://0x7f.1/a",
    "https://[::1]/a", "https://[::ffff:127.0.0.1]/a", "https://[fe80::1%25eth0]/a", "https://169.254.169.254/latest",
    "https://localhost/a", "https://photos.example.org.evil.example/a", "https://evil.example/photos.example.org",
    "https://evil.example#photos.example.org", "https://evil.example?photos.example.org", "https://xn--/a",
    "https://photos.example.org\\@evil.example/a", "https://photos\uff0eexample.org.evil/a", "https://[/a",
    "https://photos.example.org:99999/a", "https://photos.example.org:abc/a", "data:image/png;base64,AAAA",
]  # fmt: skip

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2001:db8::1", "fe80::1%eth0", "no address",
]  # fmt: skip


class Network:
    """Stands for the network: notes who was asked for what."""

    def __init__(self, answer: httpx.Response | Exception | None = None, addresses: Any = (PUBLIC,)) -> None:
        stream = httpx.ByteStream(PHOTO)
        self.answer = answer or httpx.Response(200, headers={"content-type": "image/png"}, stream=stream)
        self.addresses, self.asked, self.resolved = list(addresses), [], []

    async def resolve(self, host: str, port: int) -> list[str]:
        self.resolved.append((host, port))
        if self.addresses == ["unknown"]:
            raise OSError
        return self.addresses

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def fetch(self, url: str, hosts: Any = ("photos.example.org",), max_bytes: int = 1_000_000) -> bytes:
        fetcher = UrlFetcher(
            hosts, max_bytes=max_bytes, resolve=self.resolve, transport=httpx.MockTransport(self.handle)
        )
        return asyncio.run(fetcher.fetch(url))


def test_a_photo_comes_from_the_address_that_was_checked_under_its_hosts_name() -> None:
    network = Network()
    assert network.fetch("https://Photos.Example.org/a/b.jpg?x=1") == PHOTO
    (request,) = network.asked
    assert str(request.url) == f"https://{PUBLIC}/a/b.jpg?x=1"
    assert request.headers["host"] == "photos.example.org"
    assert request.extensions["sni_hostname"] == "photos.example.org"
    assert network.resolved == [("photos.example.org", 443)]


@pytest.mark.parametrize("url", WRONG)
def test_other_addresses_reach_nobody(url: str) -> None:
    network = Network()
    with pytest.raises(UrlRefused):
        network.fetch(url)
    assert network.asked == []


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_that_stands_for_a_private_address_reaches_nobody(address: str) -> None:
    for addresses in ([address], [PUBLIC, address]):
        network = Network(addresses=addresses)
        with pytest.raises(UrlRefused, match="public network"):
            network.fetch("https://photos.example.org/a")
        assert network.asked == []
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1:248:1893:25c8:1946", "8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_without_a_list_nothing_is_even_resolved() -> None:
    network = Network()
    with pytest.raises(UrlRefused, match="send the photo itself"):
        network.fetch("https://photos.example.org/a", hosts=())
    assert network.resolved == []


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (httpx.Response(302, headers={"location": "https://10.0.0.1/"}), "redirects are not followed"),
        (httpx.Response(404), "404"),
        (httpx.Response(200, headers={"content-type": "text/html"}, content=b"<html>"), "no image"),
        (httpx.ConnectError("no"), "does not answer"),
        (httpx.ReadTimeout("no"), "does not answer"),
    ],
)
def test_what_is_no_photo_is_refused(answer: Any, word: str) -> None:
    network = Network(answer)
    with pytest.raises(UrlRefused, match=word):
        network.fetch("https://photos.example.org/a")
    assert len(network.asked) == 1


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(UrlRefused, match="there is no host"):
        Network(addresses=["unknown"]).fetch("https://photos.example.org/a")


def test_no_more_than_the_limit_is_read() -> None:
    n_read = 0

    async def endless() -> Any:
        nonlocal n_read
        while True:
            n_read += 1000
            yield bytes(1000)

    network = Network(httpx.Response(200, headers={"content-type": "image/png"}, content=endless()))
    with pytest.raises(BodyTooLarge):
        network.fetch("https://photos.example.org/a", max_bytes=10_000)
    assert n_read <= 12_000


def test_a_service_without_a_list_fetches_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as start:
        client = start(make_gallery(tmp_path))

        def connect(*args: Any, **kwargs: Any) -> Any:
            raise AssertionError("a connection was made")

        monkeypatch.setattr("socket.socket.connect", connect)
        monkeypatch.setattr("socket.getaddrinfo", connect)
        for url in WRONG:
            query = {"queries": [{"image_url": url}]}
            assert is_problem(client.post(f"{TRIPS}/search", json=query), 422)
        asked = {"queries": [{"image_url": "https://photos.example.org/a.jpg"}]}
        answer = client.post(f"{TRIPS}/search", json=asked)
        assert is_problem(answer, 422) and "send the photo itself" in answer.json()["detail"]


def test_a_photo_of_a_named_host_is_searched_by(tmp_path: Any) -> None:
    with serving() as start:
        client = start(make_gallery(tmp_path), precision="exact", url_hosts=["photos.example.org"])
        network = Network()
        fetcher = client.app.state.service.urls  # type: ignore[attr-defined]
        fetcher._resolve, fetcher._transport = network.resolve, httpx.MockTransport(network.handle)
        asked = {"queries": [{"image_url": "https://photos.example.org/a.jpg"}], "limit": 1}
        found = client.post(f"{TRIPS}/search", json=asked).json()["neighbors"]
        assert found[0]["payload"]["city"] == "red"
