"""The chatbot's scrolling: to the start of the newest answer, until the user scrolls."""

from __future__ import annotations

SCROLLED = """
() => {
  let following = true;
  const show = () => {
    const log = document.querySelector('#chat [role=log]');
    const reply = log && [...log.querySelectorAll('.bot')].at(-1);
    if (!following || !reply) return;
    const asked = [...log.querySelectorAll('.user')].at(-1);
    const seen = log.getBoundingClientRect(), start = reply.getBoundingClientRect();
    const above = asked ? asked.getBoundingClientRect().top : start.top;
    const first = start.top - above < seen.height / 2 ? above : start.top;
    log.scrollTop += first - seen.top - 36; // below the label in its corner
    const now = reply.getBoundingClientRect().top;
    if (now < 0 || now > innerHeight - 80) scrollBy(0, now - innerHeight / 4);
  };
  const left = () => { following = false; };
  for (const name of ['wheel', 'touchmove']) document.addEventListener(name, left, {passive: true, capture: true});
  document.addEventListener('keydown', event => {
    if (['PageUp', 'PageDown', 'Home', 'End', 'ArrowUp', 'ArrowDown', 'Tab'].includes(event.key)) left();
  }, true);
  document.addEventListener('click', event => { if (event.target.closest?.('#chat')) left(); }, true);
  let due = 0;
  const later = () => { cancelAnimationFrame(due); due = requestAnimationFrame(show); };
  new MutationObserver(later).observe(document.querySelector('#chat'), {childList: true, subtree: true, characterData: true});
  document.addEventListener('change', event => { if (event.target.closest('#conversations')) dprRag.follow(); });
  dprRag.follow = () => { following = true; later(); };
}
"""
"""Shows the start of the newest answer under its question while it grows and when it is whole; whoever scrolls is left alone."""
