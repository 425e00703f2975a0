"""Tests that the parameters of a URL are decoded once, each known and given once."""

from urllib.parse import parse_qsl, quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.deliver.sas import SAS_NAMES
from engagement.exceptions import ErrorCode, InvalidContainerError
from support.container_urls import HOST, SAS, parsed_url, refusal_of, sas_of


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("comp=metadata", "comp"),
        ("Comp=metadata", "Comp"),
        ("%63omp=metadata", "comp"),
        ("%63%6F%6d%70=metadata", "comp"),
        ("restype=container", "restype"),
        ("snapshot=2026-11-24T12:00:00Z", "snapshot"),
        ("versionid=1", "versionid"),
        ("timeout=1", "timeout"),
        ("SIG=x", "SIG"),
        ("Se=2099-01-01", "Se"),
        ("srh=x-ms-a", "srh"),
        ("x-ms-version=2012-02-12", "x-ms-version"),
    ],
)
def test_an_unknown_parameter_is_refused_by_name(spelling: str, name: str) -> None:
    for query in (f"{SAS}&{spelling}", f"{spelling}&{SAS}"):
        error = refusal_of(f"https://{HOST}/container?{query}")
        assert str(error).endswith(f"got {name}.")
        assert error.code is ErrorCode.INVALID_CONTAINER


@pytest.mark.parametrize(
    "spelling",
    [
        "%2563omp=metadata", "%20sp=w", "sp%20=w", "sp+=w", "%EF%BB%BFsp=w", "?sp=w", "sp%00=w",
        "sp%3Dw%26sig%3Dcanary=x", "=w", "%26comp=metadata", "c%C3%B6mp=metadata", "s%D1%80=w",
        "canary-canary-canary-canary=", f"{'a' * 200}=w", "amp;sp=w",
    ],
)  # fmt: skip
def test_a_name_that_is_no_plain_word_is_refused_without_repeating_it(spelling: str) -> None:
    error = refusal_of(f"https://{HOST}/container?{SAS}&{spelling}")

    assert str(error).endswith("got 1 other.")


@pytest.mark.parametrize(
    "spelling",
    [
        "sig=again", "%73ig=again", "s%69g=canary", "sp=w", "s%70=w", "%73%70=r", "sv=2023-11-03",
        "comp", "sig", "&rscc=%", "rscc=%2", "rscc=%zz", "rscc=a%2", "rscc=%u0041", "rscc=%FF",
        "rscc=%C3", "rscc=%ED%A0%80", "rscc=%C0%AF", "%=a", "%ff=a",
    ],
)  # fmt: skip
def test_a_parameter_given_twice_or_in_broken_spelling_is_refused(spelling: str) -> None:
    refusal_of(f"https://{HOST}/container?{SAS}&{spelling}")


def test_a_bare_plus_is_a_space_as_azure_reads_it_except_where_none_can_be() -> None:
    sas = sas_of("sp=w&se=2099-01-01T00:00:00+02:00&sig=a+b/c==&rscd=a+b%2Bc&si=my+policy")

    assert sas == {
        "sp": "w",
        "se": "2099-01-01T00:00:00+02:00",
        "sig": "a+b/c==",
        "rscd": "a b+c",
        "si": "my policy",
    }


def test_a_value_is_decoded_once() -> None:
    assert sas_of(f"{SAS}&rscc=a%2526comp%253Dlist")["rscc"] == "a%26comp%3Dlist"


_VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.dictionaries(st.sampled_from([name for name in SAS_NAMES if name[:3] == "rsc"]), _VALUES))
def test_any_value_is_kept_as_it_was_signed(values: dict[str, str]) -> None:
    for encode in (lambda text: quote(text, safe=""), quote_plus, quote):
        query = "&".join([SAS, *(f"{name}={encode(value)}" for name, value in values.items())])
        assert sas_of(query) == {**sas_of(SAS), **values}


@given(st.text(st.sampled_from("sigcomp=&%235678abcdefSIG+;?.\\/é "), max_size=40))
def test_whatever_is_accepted_is_what_a_plain_parser_reads(tail: str) -> None:
    query = f"{SAS}&{tail}"
    try:
        sas = parsed_url(f"https://{HOST}/container?{query}").sas
    except InvalidContainerError:
        return
    assert list(sas) == parse_qsl(query, keep_blank_values=True, separator="&")
    assert {name for name, _ in sas} <= SAS_NAMES
