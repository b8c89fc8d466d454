"""The page's style: one sheet, no font and no picture from elsewhere, light and dark, wide and narrow."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --paper:#fff; --ink:#1c2024; --soft:#60666d; --rule:#e1e4e8; --tint:#f5f6f8;
  --s0:#0b6cb3; --s1:#b8480a; --s2:#077a55; --s3:#a0488f; --answer:#b8ecc9; --asked:#fdeeb0; --right:#167a42; }
@media (prefers-color-scheme: dark) { :root { --paper:#14171a; --ink:#e4e7ea; --soft:#9aa2aa; --rule:#2e343a;
  --tint:#1d2125; --s0:#5cb3f0; --s1:#f59a5b; --s2:#4cc9a0; --s3:#dc93cf; --answer:#1f5c37; --asked:#5b4d12; --right:#5ccb8a; } }
* { box-sizing:border-box; }
body { margin:0 auto; padding:2.5rem 1.5rem 4rem; max-width:60rem; background:var(--paper); color:var(--ink);
  font:16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; overflow-wrap:break-word; }
h1 { font-size:1.75rem; line-height:1.2; margin:0 0 .3rem; letter-spacing:-.01em; }
h2 { font-size:1.2rem; margin:2.8rem 0 .6rem; padding-top:1.2rem; border-top:1px solid var(--rule); }
h3 { font-size:1rem; margin:2rem 0 .2rem; } h4 { font-size:.85rem; margin:.6rem 0 .2rem; color:var(--soft); }
p { margin:.3rem 0 .7rem; } .muted, .lead { color:var(--soft); } .lead { font-size:1.02rem; }
.scroll { overflow-x:auto; } table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums; }
th, td { text-align:left; vertical-align:top; padding:.42rem .8rem .42rem 0; border-bottom:1px solid var(--rule); }
th:last-child, td:last-child { padding-right:0; }
thead th { font-size:.82rem; font-weight:600; color:var(--soft); vertical-align:bottom; } tbody th { font-weight:500; }
td, tbody th { white-space:nowrap; } :is(.figures, .pairs) :is(td, th:not(:first-child)) { text-align:right; }
.scroll + .muted { font-size:.85rem; margin-top:.5rem; } .interval { display:block; color:var(--soft); font-size:.8rem; }
.settings th { white-space:nowrap; color:var(--soft); } .settings td { white-space:normal; overflow-wrap:anywhere; }
figure { margin:0; } .curve { display:block; width:100%; height:auto; overflow:visible; }
.curve.narrow { display:none; max-width:26rem; }
.curve text { font-size:13px; fill:var(--soft); }
.curve .end { fill:currentColor; font-weight:600; font-variant-numeric:tabular-nums; }
.grid { stroke:var(--rule); } .axis, .tick { stroke:var(--soft); }
.line { fill:none; stroke:currentColor; stroke-width:2.2; stroke-linejoin:round; }
.line.s1 { stroke-dasharray:7 4; } .line.s2 { stroke-dasharray:2 4; } .line.s3 { stroke-dasharray:9 3 2 3; }
.marker { fill:currentColor; stroke:var(--paper); stroke-width:1.5; } .whisker { stroke:currentColor; stroke-width:1.4; }
.s0 { color:var(--s0); } .s1 { color:var(--s1); } .s2 { color:var(--s2); } .s3 { color:var(--s3); }
.legend { list-style:none; display:flex; flex-wrap:wrap; gap:.3rem 1.4rem; margin:.6rem 0; padding:0; font-size:.92rem; }
.legend svg { vertical-align:-2px; }
a { color:var(--s0); }
.index { list-style:none; display:flex; flex-wrap:wrap; gap:.2rem 1.4rem; margin:.4rem 0 1.2rem; padding:0; }
.index a { display:inline-block; padding:.25rem 0; }
.bars th:first-child { width:6rem; white-space:nowrap; } .bars td { padding-right:0; }
.bars .row { display:grid; grid-template-columns:min(var(--name), 30%) 1fr 3.6rem; align-items:center; gap:.6rem;
  line-height:1.35; font-size:.85rem; }
.bars .name { color:var(--soft); overflow:hidden; text-overflow:ellipsis; white-space:nowrap; }
.bar { display:block; height:.62rem; background:currentColor; border-radius:1px; print-color-adjust:exact; }
.value { text-align:right; }
.count { font-weight:500; font-size:.85rem; padding:.05rem .5rem; border-radius:1rem; background:var(--tint); }
details { border:1px solid var(--rule); border-radius:6px; margin:.5rem 0; }
summary { cursor:pointer; padding:.55rem .8rem; } details[open] > summary { border-bottom:1px solid var(--rule); }
summary:hover { background:var(--tint); }
:is(summary, a):focus-visible { outline:2px solid var(--s0); outline-offset:1px; }
.others ul { margin:.6rem 0; padding:0 .8rem 0 2rem; } .others li { margin:.25rem 0; font-size:.92rem; }
.asked { font-weight:500; margin-right:.8rem; }
.ranks { color:var(--soft); font-size:.85rem; white-space:nowrap; }
.truth { margin:.6rem .8rem; font-size:.88rem; color:var(--soft); }
code { font:.85em ui-monospace, Menlo, Consolas, monospace; background:var(--tint); color:var(--ink); padding:.1rem .35rem;
  border-radius:4px; margin-right:.3rem; overflow-wrap:anywhere; }
.sides { display:grid; grid-template-columns:repeat(auto-fit, minmax(min(16.5rem, 100%), 1fr));
  gap:0 1.4rem; padding:0 .8rem .5rem; }
.sides > div { min-width:0; } .hit { border-left:3px solid var(--rule); padding:.1rem 0 .1rem .7rem; margin:.4rem 0 .9rem; }
.hit.right { border-color:var(--right); } .hit.right .chip { color:var(--right); } .hit p { margin:.15rem 0; font-size:.9rem; }
.head > * { margin-right:.5rem; } .rank { color:var(--soft); } .id { display:inline-block; max-width:100%; }
.id, .score { color:var(--soft); font-size:.78rem; overflow-wrap:anywhere; }
.score { white-space:nowrap; } .chip { color:var(--soft); font-size:.78rem; font-weight:600; }
mark { color:var(--ink); border-radius:2px; padding:0 .1em; print-color-adjust:exact; }
mark.answer { background:var(--answer); font-weight:600; }
mark.question { background:var(--asked); } dt { font-weight:600; margin-top:.7rem; } dd { margin:0; color:var(--soft); }
@media (max-width: 760px) { .curve.wide { display:none; } .curve.narrow { display:block; } }
@media (max-width: 640px) { body { padding:1.4rem 1rem 3rem; } h1 { font-size:1.4rem; } h2 { margin-top:2rem; }
  th, td { padding-right:.55rem; } .bars th:first-child { width:5.2rem; } .pairs td, .pairs tbody th { font-size:.92rem; }
  .ranks { display:block; white-space:normal; }
  .settings th { white-space:normal; width:6.5rem; } }
@media (min-width: 641px) { .pairs { table-layout:fixed; } }
@media print { details { break-inside:avoid; } }
"""
