"""Requests to providers: polite, bounded, to known hosts, with keys that nobody else sees.

Claims: a pause between requests; Retry-After is obeyed, in seconds and as a date, and the wait grows;
too long a wait, or too many refusals, end the run; a wrong key ends it at once; other hosts are not
asked, whoever names them, nor http; a key's header goes no further than its host; answers have a largest
size; what is no JSON is an error; no log line and no message holds a query.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from email.utils import formatdate
from time import time

import httpx
import pytest
from imagery_fakes import Said, StandIn, photo

from placeprint.encoders.errors import ImageryRefused, NoImagery, PictureTooLarge
from placeprint.indexer import imagery_http
from placeprint.indexer.imagery_http import PoliteClient, retry_after_s


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


class Sleeper(list[float]):
    """Notes how long it was to sleep, and does not."""

    def __call__(self, seconds: float) -> None:
        if seconds > 0.0:
            self.append(seconds)


def closed(
    sleep: Callable[[float], None], *, pause_s: float = 0.0, retries: int = 4
) -> closing[PoliteClient]:
    return closing(PoliteClient(["127.0.0.1"], pause_s=pause_s, retries=retries, sleep=sleep))


def mocked(answer: Callable[[httpx.Request], httpx.Response], hosts=("api.example",)) -> PoliteClient:
    return PoliteClient(hosts, pause_s=0.0, sleep=Sleeper(), transport=httpx.MockTransport(answer))


def test_between_two_requests_there_is_a_pause(server):
    slept = Sleeper()
    server.script["/x"] = [Said(body=b"{}")] * 3
    with closed(slept, pause_s=5.0) as polite:
        for _ in range(3):
            polite.json(f"{server.url}/x")
    assert len(slept) == 2 and min(slept) > 4.0
    assert server.asked[0].headers["User-Agent"].startswith("placeprint/")


@pytest.mark.parametrize("told", ["7", pytest.param(None, id="date")])
def test_told_to_come_again_it_waits_no_less_than_asked(told, server):
    told = told or formatdate(time() + 7.5, usegmt=True)
    server.script["/x"] = [Said(429, headers=(("Retry-After", told),)), Said(body=b'{"a": 1}')]
    slept = Sleeper()
    with closed(slept) as polite:
        assert polite.json(f"{server.url}/x") == {"a": 1}
    assert len(slept) == 1 and 6.5 <= slept[0] <= 8.6


def test_the_wait_grows_and_some_of_it_is_chance(server):
    waits = []
    for _ in range(2):
        server.script["/x"] = [Said(503)] * 4 + [Said(body=b"{}")]
        waits.append(Sleeper())
        with closed(waits[-1]) as polite:
            polite.json(f"{server.url}/x")
    for slept in waits:
        assert [0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(slept)] == [True] * 4
    assert waits[0] != waits[1]


def test_a_server_that_stays_broken_is_given_up(server):
    server.script["/x"] = [Said(500)] * 9
    with closed(Sleeper(), retries=2) as polite, pytest.raises(NoImagery, match="answered 500, 3 times"):
        polite.json(f"{server.url}/x")
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (Said(429, headers=(("Retry-After", "3600"),)), "come again in 3,600 s"),
        (Said(429), "come again later"),
    ],
)
def test_too_long_a_wait_or_no_quota_left_ends_the_run(said, word, server):
    server.script["/x"] = [said] * 5
    slept = Sleeper()
    with closed(slept) as polite, pytest.raises(ImageryRefused, match=word):
        polite.json(f"{server.url}/x")
    assert sum(slept) < 20.0


def test_a_connection_that_fails_is_tried_anew():
    calls = []

    def answer(request):
        calls.append(request)
        if len(calls) < 3:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, json=[1])

    assert mocked(answer).json("https://api.example/x") == [1]


def test_a_connection_that_never_comes_is_named_without_its_query():
    def answer(request):
        raise httpx.ConnectTimeout(f"to {request.url}", request=request)

    with pytest.raises(NoImagery) as raised:
        mocked(answer).json("https://api.example/x?key=secret", {"b": 1})
    assert str(raised.value) == "api.example does not answer (ConnectTimeout), 5 times"


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_ends_the_run_at_once(status, server):
    server.script["/x"] = [Said(status)]
    with closed(Sleeper()) as polite, pytest.raises(ImageryRefused, match="does not take this key"):
        polite.json(f"{server.url}/x")


def test_a_picture_that_is_forbidden_or_gone_costs_only_itself(server):
    server.script["/x"] = [Said(403), Said(410)]
    with closed(Sleeper()) as polite:
        for status in ("403", "410"):
            with pytest.raises(NoImagery, match=status) as raised:
                polite.content(f"{server.url}/x", max_bytes=10)
            assert not isinstance(raised.value, ImageryRefused)


def test_only_known_hosts_are_asked_over_https():
    asked = []

    def answer(request):
        asked.append(request.url.host)
        return httpx.Response(200, content=b"x")

    polite = mocked(answer, ("api.example", ".files.example"))
    assert polite.content("https://a.files.example/1", max_bytes=9) == b"x"
    refused = [
        "https://files.example.org/1",
        "https://169.254.169.254/",
        "https://evilfiles.example/",
        "https://evilapi.example/",
        "/1",
    ]
    for url in refused:
        with pytest.raises(NoImagery, match="not one of the provider's hosts"):
            polite.content(url, max_bytes=9)
    with pytest.raises(NoImagery, match="not https"):
        polite.content("http://a.files.example/1", max_bytes=9)
    assert asked == ["a.files.example"]


@pytest.mark.parametrize("url", ["http://[", "https://a b", "", "not an address", "https://", "x" * 70_000])
def test_what_is_no_address_is_an_error(url):
    with pytest.raises(NoImagery, match="address"):
        mocked(lambda request: httpx.Response(200)).content(url, max_bytes=9)


def test_a_redirect_to_nowhere_is_an_error():
    polite = mocked(lambda request: httpx.Response(302, headers={"Location": "http://["}))
    with pytest.raises(NoImagery):
        polite.content("https://api.example/x", max_bytes=9)


def test_a_redirect_to_another_host_is_not_followed():
    def answer(request):
        return httpx.Response(302, headers={"Location": "https://elsewhere.example/x"})

    with pytest.raises(NoImagery, match=r"elsewhere\.example is not asked"):
        mocked(answer).content("https://api.example/x", max_bytes=9)


def test_redirects_are_followed_to_known_hosts_a_few_times_without_the_key():
    seen = []

    def answer(request):
        seen.append((str(request.url), request.headers.get("Authorization")))
        if request.url.path == "/round":
            return httpx.Response(302, headers={"Location": "/round"})
        if request.url.host == "api.example":
            return httpx.Response(302, headers={"Location": "https://files.example/y"})
        return httpx.Response(200, json=2)

    polite = mocked(answer, ("api.example", "files.example"))
    assert polite.json("https://api.example/x", headers={"Authorization": "OAuth k"}) == 2
    assert seen == [("https://api.example/x", "OAuth k"), ("https://files.example/y", None)]
    with pytest.raises(NoImagery, match="more than 3 times"):
        polite.json("https://api.example/round")


def test_an_answer_has_a_largest_size(server):
    server.script["/x"] = [Said(body=b"x" * 1000)] * 2
    with closed(Sleeper()) as polite:
        assert len(polite.content(f"{server.url}/x", max_bytes=1000)) == 1000
        with pytest.raises(PictureTooLarge):
            polite.content(f"{server.url}/x", max_bytes=999)


def test_an_answer_has_a_last_moment(monkeypatch):
    monkeypatch.setattr(imagery_http, "WHOLE_S", -1.0)
    with pytest.raises(NoImagery, match="took longer"):
        mocked(lambda request: httpx.Response(200, content=photo(0))).content(
            "https://api.example/x", max_bytes=1 << 20
        )


def test_a_page_instead_of_json_is_an_error():
    polite = mocked(lambda request: httpx.Response(200, text="<html>Please log in</html>"))
    with pytest.raises(NoImagery, match="no JSON"):
        polite.json("https://api.example/x")


def test_no_log_line_holds_a_query(caplog):
    caplog.set_level(logging.DEBUG)
    mocked(lambda request: httpx.Response(200, json=1)).json("https://api.example/x?key=my-secret")
    assert "https://api.example/x " in caplog.text and "my-secret" not in caplog.text


@pytest.mark.parametrize(
    ("told", "seconds"), [(None, 0.0), ("12", 12.0), ("soon", 0.0), ("-5", 0.0), ("", 0.0)]
)
def test_strange_words_for_a_wait_mean_none(told, seconds):
    assert retry_after_s(told) == seconds
