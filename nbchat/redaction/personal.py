"""Personal data by its shape: addresses, phones, cards, accounts, and labelled birth dates.

Invariant: a number is masked only if its checksum, its ranges or its way of writing sets it
apart from dates, versions, ids and other numbers.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from nbchat.redaction.rules import Rule, has, has_word

# a number by itself: not the middle of a longer one, a float, a UUID, a path or a name
ALONE = r"(?:(?<!\w)|(?<=\\[nrt]))(?<![.#])(?<!\d[-/])"
# and not glued to another number
OVER = r"(?!\w|-\w|[-./(+]{1,2}\d)"
NOT_DIGIT = re.compile(r"\D")

# what stands behind a dot in names of files and units, and in matrix products written tightly
NOT_DOMAINS = re.compile(
    r"png|jpe?g|gif|svg|webp|ico|pdf|css|m?js|tsx?|jsx|py|ipynb|json|ya?ml|toml|md|txt|html|csv|"
    r"parquet|sql|log|zip|t?gz|tar|service|socket|target|timer|mount|slice|weight|bias|grad|"
    r"shape|mean|sum|dot|data|values|inv|conj|transpose|i?loc|reshape|item",
    re.IGNORECASE,
)
LABEL = re.compile(r"[^\W_](?:[\w-]{0,61}[^\W_])?")


def _is_address(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    *labels, top = domain.split(".")
    if local == "git" or local.endswith(".") or ".." in local or NOT_DOMAINS.fullmatch(top):
        return False
    return all(LABEL.fullmatch(label) for label in labels)


EMAIL = Rule(
    "email",
    re.compile(
        r"(?:(?<![\w.%+-])(?<!\\)|(?<=\\[nrt])|(?<=\\u[0-9a-fA-F]{4}))(?<!://)"
        r"[^\W_](?:[\w.%+'-]{0,63})@"
        r"(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w(\[])(?!-\w)"
    ),
    _is_address,
    has("@"),
)

SEPARATOR = r"(?:[ \xa0./-]|[ -]?\(|\)[ -]?)?"
COUNTRY = (
    r"(?:7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-689]|3[578]|42|5[09]|6[789]|8[0578]|9[679])\d)"
)
AMERICAN = r"[2-9][0-8]\d"
ISO_DATE = re.compile(r"\d{4}[-/.]\d{2}[-/.]\d{2}")


def _digits(text: str) -> str:
    return NOT_DIGIT.sub("", text)


def _is_phone(text: str) -> bool:
    return 8 <= len(_digits(text)) <= 15


def _is_national_phone(text: str) -> bool:
    return 9 <= len(_digits(text)) <= 12


def _is_labelled_phone(text: str) -> bool:
    return 7 <= len(_digits(text)) <= 15 and ISO_DATE.match(text) is None


PHONES = (
    Rule(
        "phone",
        re.compile(
            r"(?:(?<!\w)|(?<=\\[nrt]))(?<![+.])(?:"
            rf"\+1{SEPARATOR}{AMERICAN}{SEPARATOR}\d{{3}}{SEPARATOR}\d{{4}}"
            rf"|(?:\+|00(?=\d{{1,3}}[ /-])){COUNTRY}(?:{SEPARATOR}\d){{6,13}}"
            r")(?!\w|[-./(+]{1,2}\d)",
            re.ASCII,
        ),
        _is_phone,
        re.compile(r"\+[1-9]|00[1-9][0-9]{0,2}[ /-]").search,
    ),
    Rule(
        "phone",
        re.compile(
            rf"{ALONE}(?:(?:1[-. ])?(?:\({AMERICAN}\)[ -]?|{AMERICAN}(?P<dash>[-.])){AMERICAN}"
            rf"(?(dash)(?P=dash)|[-. ])\d{{4}}){OVER}",
            re.ASCII,
        ),
        None,
        re.compile(r"[0-9]{3}[-.)][ -]?[2-9][0-9]{2}[-. ][0-9]{4}").search,
    ),
    Rule(
        "phone",
        re.compile(
            rf"{ALONE}(?<!/)(?:\(0[1-9]\d{{0,3}}\)[ -]?\d{{3,4}}[ -]?\d{{3,4}}"
            r"|0[1-9]\d{0,3}(?P<dash>[ -])\d{2,4}(?P=dash)\d{3,4}"
            r"|0[1-9]\d{1,3}[ /]\d{5,8}"
            rf"|(?<!\d[ .])0[1-9](?:(?P<pair>[ .-])\d\d)(?:(?P=pair)\d\d){{3}}(?![ .-]?\d)){OVER}",
            re.ASCII,
        ),
        _is_national_phone,
        re.compile(
            r"0[1-9][0-9]{0,3}[-/ .)]{1,2}"
            r"(?:[0-9]{5}|[0-9]{2,4}[ -]?[0-9]{3}|[0-9]{2}[-. ][0-9]{2}[-. ][0-9]{2})"
        ).search,
    ),
    Rule(
        "phone",
        re.compile(
            r"(?<![A-Za-z0-9])(?i:(?:tele)?phone|tel|mobile|fax|whatsapp|telefon|handy)"
            r"(?i:[ _-]?(?:number|no|nr))?\.?[\"'\\]{0,3}(?:\s{0,2}[:=]|\s+is)?\s{0,2}[\"'\\]{0,3}"
            rf"(?P<value>\(?\d(?:{SEPARATOR}\d){{6,14}}){OVER}",
            re.ASCII,
        ),
        _is_labelled_phone,
        has_word("phone", "tel", "mobile", "fax", "whatsapp", "handy"),
    ),
)


def _is_card(text: str) -> bool:
    """Luhn's sum, and not one digit over and over."""
    digits = [int(digit) for digit in _digits(text)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


CARD = Rule(
    "card number",
    re.compile(
        rf"{ALONE}(?:"
        r"(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6(?:011|[2457]\d\d|4[4-9]\d)|35[2-8]\d)"
        r"(?P<gap>[ -]?)\d{4}(?P=gap)\d{4}(?P=gap)\d{4}(?:(?<=\d{4}[ -]\d{4})(?P=gap)\d{3})?"
        r"|3(?:[47]\d{2}(?P<amex>[ -]?)\d{6}(?P=amex)\d{5}"
        r"|(?:0[0-5]|[68]\d)\d(?P<diners>[ -]?)\d{6}(?P=diners)\d{4}))"
        rf"{OVER}",
        re.ASCII,
    ),
    _is_card,
    re.compile(r"[2-6][0-9]{3}[ -]?[0-9]{4}").search,
)

IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK|FI|FO|GL|NL",
    19: "MK|SI",
    20: "AT|BA|EE|KZ|LT|LU|XK",
    21: "CH|HR|LI|LV",
    22: "BG|BH|CR|DE|GB|GE|IE|ME|RS",
    23: "AE|GI|IL|IQ",
    24: "AD|CZ|ES|MD|PK|RO|SA|SE|SK|TN|VG",
    25: "LY|PT|ST",
    26: "IS|TR",
    27: "BI|FR|GR|IT|MC|MR|SM",
    28: "AL|AZ|BY|CY|DO|GT|HU|LB|PL|SV",
    29: "BR|PS|QA|UA",
    30: "JO|KW|MU",
    31: "MT|SC",
    32: "LC",
}


def _iban_shapes() -> str:
    """One alternative for each length, so that a word behind the number is not taken along."""
    shapes = []
    for length, countries in IBAN_COUNTRIES.items():
        groups, rest = divmod(length - 4, 4)
        tail = rf"[ -]?[A-Z0-9]{{{rest}}}" if rest else ""
        shapes.append(rf"(?:{countries})\d\d(?:[ -]?[A-Z0-9]{{4}}){{{groups}}}{tail}")
    return "|".join(shapes)


def _is_iban(text: str) -> bool:
    signs = text.replace(" ", "").replace("-", "")
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1


IBAN = Rule(
    "iban",
    re.compile(rf"(?:(?<!\w)|(?<=\\[nrt]))(?=[A-Z]{{2}}\d\d)(?:{_iban_shapes()})(?!\w)", re.ASCII),
    _is_iban,
    re.compile(r"[A-Z]{2}[0-9]{2}[ -]?[A-Z0-9]{4}").search,
)

SSN = Rule(
    "ssn",
    re.compile(
        rf"{ALONE}(?!000|666|9)\d{{3}}-(?!00)\d\d-(?!0000)\d{{4}}{OVER}",
        re.ASCII,
    ),
    None,
    re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}").search,
)


def _is_host(text: str) -> bool:
    """Whether it can be somebody's machine: no section or version, no network, no mask."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    known = address.is_loopback or address.is_multicast or address.is_unspecified
    return len(text) > len("1.2.3.4") and not known and not text.startswith(("0.", "255."))


def _is_host_6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    groups = [group for group in text.split(":") if group]
    return len(groups) > 2 or text[0] in "fF"  # two may be a slice with a step


ADDRESSES = (
    Rule(
        "ip address",
        re.compile(
            r"(?:(?<!\w)|(?<=\\[nrt]))(?<![.=~^>])(?<!\w/)(?<!(?i:version) )(?<!\d-)"
            r"(?:\d{1,3}\.){3}(?!0(?!\d))\d{1,3}(?!\w|\.\d|-\w|\+|/\d{1,3}\.)",
            re.ASCII,
        ),
        _is_host,
        re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]").search,
    ),
    Rule(
        "ip address",
        re.compile(
            r"(?:(?<![\w:.])|(?<=\\[nrt]))(?i:[23][0-9a-f]{3}|fe[89ab][0-9a-f]|f[cd][0-9a-f]{2})"
            r"(?::[0-9a-fA-F]{0,4}){1,7}(?![\w:])",
            re.ASCII,
        ),
        _is_host_6,
        re.compile(r"[23fF][0-9a-fA-F]{3}:").search,
    ),
)

MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}\.?"
DATE = (
    r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\.? (?:of )?(?i:{MONTH}),? \d{{4}}"
    rf"|(?i:{MONTH}) \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})"
)
BIRTH = Rule(
    "date of birth",
    re.compile(
        r"(?<![A-Za-z0-9])(?i:born(?: on)?|dob|d\.o\.b\.|date[ _-]of[ _-]birth|birth[ _-]?date|"
        r"birthday|geboren(?: am)?|geburtsdatum)"
        rf"[\"'\\]{{0,3}}(?:\s{{0,3}}[:=]|\s{{1,3}}is)?[\s\"'\\(]{{0,4}}(?P<value>{DATE})(?![\w])",
        re.ASCII,
    ),
    None,
    has_word("born", "dob", "d.o.b", "birth", "geboren", "geburt"),
)

# cards and accounts first: a phone may look like a part of one
PERSONAL: tuple[Rule, ...] = (EMAIL, CARD, IBAN, SSN, BIRTH, *ADDRESSES, *PHONES)
