"""Writes texts that would run, hide or mislead where a page did not keep them apart."""

from itertools import chain, cycle, islice

EXECUTED = "executed"
"""What a text that runs sets to 1, in the window of the page."""
_RUN = f"window.{EXECUTED}=1"
_SEEDS = (
    f"<script>{_RUN}</script>",
    f"<img src=x onerror={_RUN}>",
    f'"><img src=x onerror="{_RUN}">',
    f"'><svg onload={_RUN}>",
    f"</bdi></td></table><script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f"</title><script>{_RUN}</script>",
    f"</textarea><script>{_RUN}</script>",
    f'" autofocus onfocus="{_RUN}" x="',
    f"' onmouseover='{_RUN}",
    f"javascript:{_RUN}",
    f'<a href="javascript:{_RUN}">here</a>',
    f"<iframe srcdoc='<script>parent.{EXECUTED}=1</script>'></iframe>",
    f"<body onload={_RUN}>",
    f"<details open ontoggle={_RUN}>",
    f"<math><mi xlink:href='javascript:{_RUN}'>",
    f"<style>@import 'javascript:{_RUN}';*{{display:none}}</style>",
    "<base href=//elsewhere.example/>",
    "<meta http-equiv=refresh content='0;url=//elsewhere.example'>",
    "<link rel=stylesheet href=//elsewhere.example/x.css>",
    "<form action=//elsewhere.example><input name=csrf>",
    "<object data=//elsewhere.example></object>",
    "<!-- <bdi> --!>",
    "{{ 7 * 7 }}{% raw %}${7*7}#{7*7}",
    "{{ config }}{{ ''.__class__.__mro__ }}",
    "&lt;script&gt;&#60;img&#62;&amp;",
    "\u202egnp.exe\u202c",
    "\u2066\u2067isolates\u2069",
    "\u0000null\u001b[31mred\u0007",
    '=HYPERLINK("//elsewhere.example","x")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "%3Cscript%3E%0d%0aSet-Cookie:x=1",
    "a\r\nSet-Cookie: stolen=1",
    "\u2028\u2029lines\u0085",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \ud83d".encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    ),
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031ea\u0351\u0323",
    "..\\..\\etc\\passwd\t..;",
    f"`${{{_RUN}}}`",
    f"<svg><animate onbegin={_RUN} attributeName=x dur=1s>",
    f"<input type=image src=x onerror={_RUN}>",
)  # fmt: skip


def list_hostile(count: int) -> list[str]:
    """Different texts, each seed first alone and then with others before it."""
    wrapped = (f"{number}{seed}" for number, seed in enumerate(cycle(_SEEDS)))
    return list(islice(chain(_SEEDS, wrapped), count))
