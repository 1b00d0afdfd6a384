"""Numbers of a report read back from their short text, as its page reads them."""

import base64
import zlib

import numpy as np

from phasemap.figures.page import LEVELS, NONE, ZERO


def unpacked(block):
    """Return the numbers of a packed array, flat."""
    raw = zlib.decompress(base64.b64decode(block["data"]))
    return np.frombuffer(raw, dtype={"u8": "<u1", "u16": "<u2"}[block["type"]])


def decoded(scale, codes):
    """Return the values of codes on a scale."""
    ends = np.asarray([scale.low, scale.high])
    low, high = np.log(ends) if scale.log else ends
    numbers = low + codes / LEVELS * (high - low)
    values = np.exp(numbers) if scale.log else numbers
    return np.where(codes == NONE, np.nan, np.where((codes == ZERO) & scale.log, 0.0, values))
