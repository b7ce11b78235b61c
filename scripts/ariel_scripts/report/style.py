"""The style of the report's page: light and dark, a phone's width, print."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --soft: #f3f5f7; --ink: #1b1f24; --muted: #5c6670; --grid: #dfe3e8;
  --band: #e9edf2; --link: #0b5fa5; --c0: #0072B2; --c1: #D55E00; --c2: #009E73; --c3: #CC79A7;
  --c4: #E69F00; --c5: #56B4E9; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --soft: #1d2126; --ink: #e8eaed; --muted: #a3acb6;
  --grid: #343a42; --band: #23292f; --link: #7cc0f0; --c0: #56B4E9; --c1: #E69F00; --c2: #1fbf93; --c3: #CC79A7;
  --c4: #E0703A;
  --c5: #F0E442; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
.page { display: grid; grid-template-columns: 13rem minmax(0, 1fr); gap: 2.5rem; max-width: 84rem; margin: 0 auto;
  padding: 2rem 1.5rem; }
nav { position: sticky; top: 1.5rem; align-self: start; font-size: .93rem; }
nav ol { list-style: none; margin: 0; padding: 0; } nav a { display: block; padding: .22rem 0; text-decoration: none; }
a { color: var(--link); } h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; overflow-wrap: anywhere; }
p { max-width: 48rem; margin: .4rem 0 1rem; }
.about, figcaption, .reading { color: var(--muted); } .about { overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.6rem; } figcaption { font-size: .9rem; max-width: 48rem; margin-top: .3rem; }
.head { display: flex; flex-wrap: wrap; gap: .3rem 1rem; justify-content: space-between; align-items: baseline; }
.head strong { overflow-wrap: anywhere; } .plot { width: 100%; }
#planet-plot { height: 460px; }
.scroll { overflow: auto; width: fit-content; min-width: min(100%, 30rem); max-width: 100%; margin: .5rem 0 1.2rem;
  border: 1px solid var(--grid); border-radius: 6px; }
.tall { max-height: 26rem; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .9rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th:first-child, td:first-child { text-align: left; font-weight: 500; }
thead th { position: sticky; top: 0; background: var(--soft); font-weight: 600; z-index: 1; }
tbody th { position: sticky; left: 0; background: var(--paper); } tbody tr:last-child > * { border-bottom: 0; }
tr.chosen > * { background: var(--band); } .sortable tbody tr:hover > * { background: var(--soft); }
thead button { all: unset; cursor: pointer; }
thead button:focus-visible { outline: 2px solid var(--link); outline-offset: 3px; }
th[aria-sort=ascending] button::after { content: " ▲"; } th[aria-sort=descending] button::after { content: " ▼"; }
.tools { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: .3rem 0; }
input, select, .tools button { font: inherit; font-size: .92rem; padding: .25rem .55rem; color: inherit;
  background: var(--soft); border: 1px solid var(--grid); border-radius: 5px; max-width: 100%; }
select { max-width: 15rem; } .tools button { cursor: pointer; }
.warning { border-left: 4px solid var(--c1); padding: .4rem .8rem; background: var(--soft); }
footer { font-size: .9rem; }
pre { overflow: auto; background: var(--soft); padding: .8rem; border-radius: 6px; font-size: .82rem;
  max-height: 30rem; }
summary { cursor: pointer; color: var(--link); padding: .2rem 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 62rem) { .page { display: block; padding: 1.2rem 1rem; }
  nav { position: static; margin-bottom: 1rem; }
  nav ol { display: flex; flex-wrap: wrap; gap: 0 1rem; } h1 { font-size: 1.4rem; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } #planet-plot { height: 420px; }
  table { font-size: .84rem; } tbody th { white-space: normal; min-width: 6.5rem; } th, td { padding: .3rem .45rem; } }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
@media print { .page { display: block; padding: 0; } nav, .tools, select, .modebar { display: none !important; }
  .tall, pre { max-height: none; } figure, tr { break-inside: avoid; } body { font-size: 11pt; }
  h2 { break-after: avoid; } }
"""
