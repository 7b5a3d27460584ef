"""One Parquet file out of several written one after the other into the same file.

A Parquet file ends with a footer that says where its columns begin, counted from the file's start.
When whole files are appended to each other, all bytes of data stand where they should, but each
footer counts from the start of its own part. `joined_footer` counts them from the start of the
file and makes one footer of all; behind the last part it turns the parts into one file. The small
footers in between stay as unread gaps, which the format allows, so that a file can grow by durable
parts without ever being copied.

The footer is a Thrift structure in the compact protocol (apache/thrift:
doc/specs/thrift-compact-protocol.md; apache/parquet-format: src/main/thrift/parquet.thrift). Only
offsets are changed; all else is copied as it is, also what later versions of the format may add.
"""

import io
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import BinaryIO

import pyarrow.parquet as pq

MAGIC = b"PAR1"
# Paths of field numbers from FileMetaData down; elements of lists do not count. 4 is row_groups,
# 4.1 their columns, 4.1.3 the columns' metadata.
OFFSETS = {
    (4, 5),  # RowGroup.file_offset
    (4, 1, 2),  # ColumnChunk.file_offset
    (4, 1, 4),  # .offset_index_offset
    (4, 1, 6),  # .column_index_offset
    (4, 1, 3, 9),  # ColumnMetaData.data_page_offset
    (4, 1, 3, 10),  # .index_page_offset
    (4, 1, 3, 11),  # .dictionary_page_offset
    (4, 1, 3, 14),  # .bloom_filter_offset
}
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT, UUID = range(1, 14)


def joined_footer(file: BinaryIO, ends: Sequence[int]) -> bytes:
    """The bytes to append to a file of Parquet files so that it is one.

    Args:
        file: open for reading; its position is moved.
        ends: where each part ends, in order; the first begins at 0.

    Raises:
        ValueError: a part that does not end as a Parquet file does, or of other columns.
    """
    whole = None
    for start, end in pairwise([0, *ends]):
        shifted = shift_offsets(_footer(file, end), start)
        length = struct.pack("<I", len(shifted))
        metadata = pq.read_metadata(io.BytesIO(MAGIC + shifted + length + MAGIC))
        if whole is None:
            whole = metadata
        else:
            whole.append_row_groups(metadata)
    if whole is None:
        raise ValueError("a file of no parts has no footer")
    buffer = io.BytesIO()
    whole.write_metadata_file(buffer)
    return buffer.getvalue().removeprefix(MAGIC)


def shift_offsets(footer: bytes, by: int) -> bytes:
    """A footer with every offset into the file larger by `by`; an offset of 0 means there is none."""
    copy = _Copy(footer, by)
    copy.struct(())
    if copy.at != len(footer):
        raise ValueError(f"{len(footer) - copy.at} bytes behind a Parquet footer's end")
    return bytes(copy.out)


def _footer(file: BinaryIO, end: int) -> bytes:
    file.seek(end - 8)
    length, magic = struct.unpack("<I4s", file.read(8))
    if magic != MAGIC:
        raise ValueError(f"no Parquet file ends at byte {end}")
    file.seek(end - 8 - length)
    return file.read(length)


class _Copy:
    """Copies one value after the other, and changes those at `OFFSETS`."""

    def __init__(self, source: bytes, by: int) -> None:
        self.source, self.by = source, by
        self.at = 0
        self.out = bytearray()

    def struct(self, path: tuple[int, ...]) -> None:
        number = 0
        while header := self._byte():
            kind, step = header & 0x0F, header >> 4
            number = number + step if step else _unzigzag(self._varint())
            self.value(kind, (*path, number))

    def value(self, kind: int, path: tuple[int, ...]) -> None:
        if kind in (TRUE, FALSE):
            return  # the header has said it
        if kind in (I16, I32, I64):
            self._integer(path)
        elif kind in (BYTE, DOUBLE, UUID):
            self._bytes({BYTE: 1, DOUBLE: 8, UUID: 16}[kind])
        elif kind == BINARY:
            self._bytes(self._varint())
        elif kind in (LIST, SET):
            self._list(path)
        elif kind == STRUCT:
            self.struct(path)
        else:
            raise ValueError(f"a Parquet footer with a value of kind {kind} at {path}")

    def _list(self, path: tuple[int, ...]) -> None:
        header = self._byte()
        n, kind = header >> 4, header & 0x0F
        n = self._varint() if n == 15 else n
        for _ in range(n):
            if kind in (TRUE, FALSE):
                self._bytes(1)
            else:
                self.value(kind, path)

    def _integer(self, path: tuple[int, ...]) -> None:
        start = len(self.out)
        value = _unzigzag(self._varint())
        if path in OFFSETS and value > 0:
            self.out[start:] = _varint_of((value + self.by) << 1)

    def _byte(self) -> int:
        self._bytes(1)
        return self.out[-1]

    def _bytes(self, n: int) -> None:
        if self.at + n > len(self.source):
            raise ValueError("a Parquet footer that ends too early")
        self.out += self.source[self.at : self.at + n]
        self.at += n

    def _varint(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _varint_of(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
