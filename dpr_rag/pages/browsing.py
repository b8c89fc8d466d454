"""The chatbot's JavaScript: one question at a time, keyboard focus, and copying of replies as text."""

from __future__ import annotations

WAITING = """
() => {
  let pending = 1, waits = false, sent = '';
  const field = () => document.querySelector('#question textarea');
  const put = text => { field().value = text; field().dispatchEvent(new Event('input', {bubbles: true})); };
  const say = () => {
    document.querySelector('#waits').textContent =
      waits ? 'Your question is asked when this reply is whole; until then it can be changed.' : '';
  };
  const held = event => {
    const isSent = event.type === 'click' ? event.target.closest?.('#ask')
      : event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.target === field();
    if (!pending || !isSent) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    waits = field().value.trim() !== '';
    say();
  };
  document.addEventListener('keydown', held, true);
  document.addEventListener('click', held, true);
  document.addEventListener('click', event => {
    if (event.target.closest?.('#conversations, #new, #forget')) { waits = false; say(); }
  });
  window.dprRag = {
    begin: asked => { pending += 1; dprRag.follow?.(); sent = asked ?? ''; if (sent && field().value === sent) put(''); },
    fail: () => { if (sent && !field().value) put(sent); },
    end: () => {
      pending -= 1;
      sent = '';
      if (pending || !waits) return;
      waits = false;
      say();
      if (field().value.trim()) document.querySelector('#ask').click();
    },
  };
}
"""
"""Holds a question back that is sent while a reply grows, or while the page is being filled, which would show something else."""
BEGINS = "(...given) => { dprRag.begin(); return given; }"
ASKED = "(...given) => { dprRag.begin(given[0]); return given; }"
FAILED = "() => dprRag.fail()"
ENDED = "() => dprRag.end()"

KEYBOARD = """
() => {
  const near = {'#chat': '#question textarea', '#upload': '#upload button', '#conversations': '#conversations input:checked'};
  let last = null, region = '';
  document.addEventListener('focusin', event => {
    last = event.target.matches(':focus-visible') ? event.target : null;
    if (!last) { region = ''; return; }
    region = Object.keys(near).find(one => last.closest(one)) ?? '';
  });
  document.addEventListener('pointerdown', () => { last = null; region = ''; });
  const mend = () => {
    for (const one of document.querySelectorAll('#conversations input')) {
      if (one.name !== 'conversation') one.name = 'conversation';
    }
    for (const one of document.querySelectorAll('#chat [aria-label*="<"]')) one.removeAttribute('aria-label');
    if (!last || !region || document.activeElement !== document.body) return;
    document.querySelector(near[region])?.focus();
  };
  const watched = {childList: true, subtree: true, attributeFilter: ['name', 'aria-label']};
  new MutationObserver(mend).observe(document.body, watched);
  document.addEventListener('focusout', () => setTimeout(mend));
  mend();
}
"""
"""Joins the conversations to one group, in which arrows move; and where what had the focus goes, moves that to what is near."""

COPIED = """
() => {
  if (!navigator.clipboard) return;
  const write = navigator.clipboard.writeText.bind(navigator.clipboard);
  const plain = line => {
    const at = line.indexOf('<div class="reply">');
    if (at < 0) return line;
    const shown = document.createElement('div');
    shown.style = 'position: fixed; left: -9999px; width: 600px';
    shown.innerHTML = line.slice(at);
    for (const one of shown.querySelectorAll('summary small')) one.remove();
    document.body.append(shown);
    const text = line.slice(0, at) + shown.innerText.trim();
    shown.remove();
    return text;
  };
  navigator.clipboard.writeText = text => write(text.split('\\n').map(plain).join('\\n'));
}
"""
"""Copies replies as the text that is seen; what Gradio has of them is the page's HTML."""

SAVED = """
([name, text]) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'text/markdown'}));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
"""
"""Saves a text under a name."""
