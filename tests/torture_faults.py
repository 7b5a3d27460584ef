"""Faults that are put into a copy of the package, and the tests of the default suite that must find them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A piece of text in a file, what takes its place, and who must find out.

    Attributes:
        file: beside ``pyproject.toml``.
        before: there exactly once.
        after: in its place.
        tests: a node id, ``-k`` and an expression; none where the torture test itself looks.
    """

    file: str
    before: str
    after: str
    tests: tuple[str, ...]


FAULTS: dict[str, dict[str, Fault]] = {
    "R7": {
        "what was fitted is left out of backups": Fault(
            "indexer/backup.py",
            'KEPT: Final = (*FITTED, "places.json")',
            "KEPT: Final = ()",
            ("tests/indexer/test_backup.py", "-k", "the_same_gallery_comes_back"),
        ),
        "a shard that changes while it is copied is not seen": Fault(
            "indexer/backup.py",
            "if _stamp(os.fstat(file.fileno())) != stamp:",
            "if False:",
            ("tests/indexer/test_backup.py", "-k", "erasure"),
        ),
        "the checksum of a member is not compared": Fault(
            "indexer/archive.py",
            "_compare(_listed(manifest), found)",
            "pass",
            ("tests/indexer/test_backup.py", "-k", "damaged_backups"),
        ),
    },
    "R11": {
        "an unreadable photo is a fault of the service": Fault(
            "api/serving/problems.py",
            "    UnreadableImage: 422,",
            "    UnreadableImage: 500,",
            ("tests/api/test_hostile.py", "-k", "corrupt_uploads_are_refused"),
        ),
    },
    "R12": {
        "pixels are not counted": Fault(
            "encoders/upload_limits.py",
            "if width * height > self.max_pixels:",
            "if False:",
            ("tests/encoders/test_uploads.py", "-k", "limits_hold"),
        ),
        "edges are not measured": Fault(
            "encoders/upload_limits.py",
            "if max(width, height) > self.max_edge_px:",
            "if False:",
            ("tests/encoders/test_uploads.py", "-k", "long_edge"),
        ),
    },
    "R13": {
        "TIFF is taken": Fault(
            "encoders/upload_limits.py",
            'formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP")',
            'formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "TIFF")',
            ("tests/encoders/test_uploads.py", "-k", "not_taken_reaches_no_parser"),
        ),
    },
    "R14": {
        "the list of system calls is not in force": Fault(
            "encoders/sandbox.py",
            "if seccomp.install(threads=threads):",
            "if False:",
            ("tests/encoders/test_sandbox.py", "-k", "closed_by_the_list"),
        ),
        "memory is not limited": Fault(
            "encoders/sandbox.py",
            "    _limit_resources(memory_bytes, threads=threads, n_descriptors=kept[-1] + 1)",
            "    _limit_resources(1 << 45, threads=threads, n_descriptors=kept[-1] + 1)",
            ("tests/encoders/test_sandbox.py", "-k", "every_way_out"),
        ),
        "the time of the processor is not limited": Fault(
            "encoders/decode_worker.py",
            "if limits is not None:\n            sandbox.renew_cpu(limits.cpu_s)",
            "pass",
            ("tests/encoders/test_uploads.py", "-k", "too_much_time"),
        ),
    },
    "R15": {
        "bodies are not counted": Fault(
            "api/serving/door.py",
            "if self._n_bytes > self._max_bytes:",
            "if False:",
            ("tests/api/test_hostile.py", "-k", "bodies_without_end"),
        ),
        "bodies may come as slowly as they like": Fault(
            "api/serving/door.py",
            "async with asyncio.timeout_at(self._end):",
            "async with asyncio.timeout(None):",
            ("tests/api/test_http_protocol.py", "-k", "body_that_trickles"),
        ),
    },
    "R18": {
        "a status that is not documented": Fault(
            "api/serving/problems.py",
            "    UnknownPhoto: 404,",
            "    UnknownPhoto: 418,",
            ("tests/api/test_openapi.py", "-k", "documented and not thousand and thumbnail"),
        ),
        "a photo is shown only where there is none": Fault(
            "api/serving/served_gallery.py",
            "        return found[0]\n",
            "        return found[1]\n",
            ("tests/api/test_openapi.py", "-k", "one_after_the_other and not thousand"),
        ),
    },
    "R20": {
        "every address is public": Fault(
            "api/serving/url_fetch.py",
            "return number.is_global and not number.is_multicast",
            "return True",
            ("tests/api/test_url_fetch.py", "-k", "private"),
        ),
        "an address within another is not looked at": Fault(
            "api/serving/url_fetch.py",
            "if inner is not None and not inner.is_global:",
            "if False:",
            ("tests/api/test_url_fetch.py", "-k", "private"),
        ),
        "the list of hosts is not looked at": Fault(
            "api/serving/url_fetch.py",
            "if host not in self._hosts:",
            "if False:",
            ("tests/api/test_url_fetch.py", "-k", "other_addresses"),
        ),
    },
    "R22": {
        "a route that anyone may ask": Fault(
            "api/routes/photos.py",
            "response_model=DeletedOut, dependencies=[Depends(writer)]",
            "response_model=DeletedOut, dependencies=[]",
            ("tests/api/test_keys.py", "-k", "each_route and DELETE and photos"),
        ),
        "a key is quoted": Fault(
            "api/serving/callers.py",
            'what = "this key is not known" if given',
            'what = f"the key {given} is not known" if given',
            ("tests/api/test_keys.py", "-k", "no_key_stands"),
        ),
    },
    "R24": {
        "a thumbnail is the file itself": Fault(
            "encoders/thumbnail.py",
            "    return encoded.getvalue()",
            "    return source if isinstance(source, bytes) else encoded.getvalue()",
            ("tests/api/test_hostile.py::test_nothing_that_a_photo_says_of_itself_comes_out[10]",),
        ),
    },
    "R30": {
        "torch is imported with the package": Fault(
            "__init__.py",
            "from importlib import import_module",
            "import torch\nfrom importlib import import_module",
            (),
        ),
    },
}
