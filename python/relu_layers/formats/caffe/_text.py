"""A bounded reader of protobuf's text format, which prototxt files are in."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from relu_layers._support.arguments import nearest
from relu_layers.formats.caffe._schema import ENUMS, FIELDS, PASSED_OVER, Field, Message, as_float32

_DEEPEST = 32
# Possessive: what has matched is never tried in another way, which would keep a place for every character.
_TOKEN = re.compile(
    r"""(?:\s++|\#[^\n]*+)*+(?:
    (?P<name>[A-Za-z_]\w*)
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fF]?)(?!\w)
    |(?P<string>"(?:[^"\\\n]++|\\.)*+"|'(?:[^'\\\n]++|\\.)*+')
    |(?P<mark>[{}<>\[\]:;,-])
    |(?P<end>\Z)
    )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\([0-7]{1,3}|[xX][0-9a-fA-F]{1,2}|.)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CLOSING = {"{": "}", "<": ">"}
_BOOLEANS = {
    "true": True,
    "True": True,
    "t": True,
    "1": True,
    "false": False,
    "False": False,
    "f": False,
    "0": False,
}
_LONGEST_NUMBER = 400


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def read_text(text: str, kind: str) -> Message:
    """Return the message of ``kind`` that ``text`` writes out.

    Raises
    ------
    ValueError
        It is not the text of such a message; the error names the line and the nearest known name.
    """
    parser = _Parser(text)
    message = Message(kind)
    parser.fields(message, "end", 0)
    return message


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._token = self._scan(0)

    # --- tokens ---

    def _scan(self, at: int) -> _Token:
        match = _TOKEN.match(self._text, at)
        if match is None or match.lastgroup is None:
            shown = self._text[at : at + 20].strip()
            raise ValueError(f"line {self._line(at)}: {shown!r} cannot be read")
        kind = match.lastgroup
        self._next = match.end()
        return _Token(kind, match[kind], match.start(kind))

    def _advance(self) -> _Token:
        token = self._token
        self._token = self._scan(self._next)
        return token

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def _wrong(self, token: _Token, expected: str) -> ValueError:
        shown = repr(token.text[:40]) if token.kind != "end" else "the end of the file"
        return ValueError(f"line {self._line(token.at)}: {shown}, expected {expected}")

    def _skip(self, *marks: str) -> bool:
        if self._token.kind == "mark" and self._token.text in marks:
            self._advance()
            return True
        return False

    # --- messages ---

    def fields(self, message: Message | None, closing: str, depth: int) -> None:
        """Read fields up to ``closing`` into ``message``, or pass over them if it is None."""
        if depth > _DEEPEST:
            raise ValueError(f"line {self._line(self._token.at)}: messages nested more than {_DEEPEST} deep")
        while not (self._token.kind == "end" if closing == "end" else self._token.text == closing):
            name = self._advance()
            if name.kind != "name":
                raise self._wrong(name, f"a field or {closing!r}" if closing != "end" else "a field")
            field = None if message is None else self._field(message.kind, name)
            colon = self._skip(":")
            if self._token.text == "[" and self._token.kind == "mark":
                if field is not None and not field.repeated:
                    raise self._wrong(self._token, f"one value, for {name.text} is not repeated")
                self._list(message, field, colon, depth)
            else:
                self._value(message, field, colon, depth)
            self._skip(";", ",")
        if closing != "end":
            self._advance()

    def _field(self, kind: str, name: _Token) -> Field | None:
        """Return the field of a name, None for one that is passed over."""
        known = FIELDS[kind]
        if name.text in known:
            return known[name.text]
        is_other = kind in ("LayerParameter", "V1LayerParameter") and name.text.endswith("_param")
        # A layer of the first format: refused by name where the layers are read.
        if is_other or kind == "V0LayerParameter" or name.text in PASSED_OVER.get(kind, ()):
            return None
        shown = name.text[:80]
        hint = nearest(shown, known) or f", expected one of {', '.join(known)}"
        raise ValueError(f"line {self._line(name.at)}: {kind} has no field {shown!r}{hint}")

    def _list(self, message: Message | None, field: Field | None, colon: bool, depth: int) -> None:
        self._advance()
        while not self._skip("]"):
            self._value(message, field, colon, depth)
            if not self._skip(",") and self._token.text != "]":
                raise self._wrong(self._token, "',' or ']'")

    def _value(self, message: Message | None, field: Field | None, colon: bool, depth: int) -> None:
        """Read one value, a message or a scalar."""
        start = self._token
        is_message = start.kind == "mark" and start.text in _CLOSING
        if field is not None and (field.kind in FIELDS) != is_message:
            raise self._wrong(start, f"{field.name} as a {field.kind}")
        if not is_message and not colon:
            raise self._wrong(start, "':' before a value")
        if field is not None and not field.repeated and message is not None and field.name in message:
            raise ValueError(f"line {self._line(start.at)}: {field.name} is given twice")
        if is_message:
            self._advance()
            inner = None if field is None else Message(field.kind)
            self.fields(inner, _CLOSING[start.text], depth + 1)
            value: Any = inner
        else:
            value = self._scalar(field)
        if message is not None and field is not None:
            message.put(field, value)

    # --- scalars ---

    def _scalar(self, field: Field | None) -> Any:
        negative = self._skip("-")
        token = self._advance()
        if token.kind not in ("name", "number", "string"):
            raise self._wrong(token, "a value")
        if token.kind == "string":
            parts = [_unescaped(token.text)]
            while self._token.kind == "string":
                parts.append(_unescaped(self._advance().text))
        if field is None:
            return None
        value = None
        if field.kind == "string":
            value = "".join(parts) if token.kind == "string" and not negative else None
        elif token.kind != "string":
            value = _number(field.kind, token.text, negative)
        if value is None:
            known = ENUMS.get(field.kind)
            hint = nearest(token.text, known) if known else ""
            raise self._wrong(token, f"{field.name} as {', '.join(known) if known else field.kind}{hint}")
        return value


def _number(kind: str, text: str, negative: bool) -> Any:
    """Return the value of an unquoted word or number as ``kind``, None if it has none."""
    if len(text) > _LONGEST_NUMBER:
        return None
    if kind == "bool":
        return None if negative else _BOOLEANS.get(text)
    sign = -1 if negative else 1
    whole = _whole(text)
    if kind in ("float", "double"):
        try:
            value = sign * (
                float(text.rstrip("fF") if text[0] in ".0123456789" else text) if whole is None else whole
            )
            return as_float32(value) if kind == "float" else float(value)
        except (ValueError, OverflowError):
            return None
    if kind == "int":
        return None if whole is None or not -(2**63) <= sign * whole < 2**63 else sign * whole
    names = ENUMS[kind]
    if whole is not None:
        return names[whole] if not negative and whole < len(names) else None
    return text if text in names and not negative else None


def _whole(text: str) -> int | None:
    """Return the integer that ``text`` writes in base 10, 16 (0x) or 8 (0), else None."""
    if re.fullmatch("0[xX][0-9a-fA-F]+", text):
        return int(text, 16)
    if re.fullmatch("0[0-7]+", text):
        return int(text, 8)
    return int(text) if re.fullmatch("0|[1-9][0-9]*", text) else None


def _unescaped(quoted: str) -> str:
    """Return the string that a literal stands for: its escapes are bytes, together UTF-8."""

    def replaced(match: re.Match[str]) -> str:
        escape = match[1]
        if escape[0] in "01234567":
            return chr(int(escape, 8) & 255)
        if escape[0] in "xX" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        return _ESCAPED.get(escape, escape)

    inner = quoted[1:-1]
    if "\\" not in inner:
        return inner
    # As one character per byte, so that an escape is a byte too.
    bytewise = inner.encode(errors="surrogatepass").decode("latin-1")
    return _ESCAPE.sub(replaced, bytewise).encode("latin-1").decode(errors="replace")
