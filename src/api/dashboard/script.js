// Keeps a page up to date and lets keys do what a mouse does. Every page works without it.
"use strict";
(() => {
  const main = document.getElementById("main");
  if (!main) return;

  // Keys.
  const keys = document.getElementById("keys");
  if (keys) keys.hidden = false;
  const items = () => [...document.querySelectorAll("[data-item]")].filter(item => item.checkVisibility());
  const link = item => item.querySelector("a, summary, button");
  const current = () => document.activeElement && document.activeElement.closest("[data-item]");
  const move = by => {
    const all = items();
    if (!all.length) return;
    const at = all.indexOf(current());
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    const target = link(next);
    if (target) target.focus();
    next.scrollIntoView({block: "nearest"});
  };
  const retry = () => {
    const button = (current() || main).querySelector("form[action$='/retry'] button, a[href*='act=retry']");
    if (button) button.focus();
    else refresh();
  };
  document.addEventListener("keydown", event => {
    const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape" && typing) typing.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {"/": () => document.querySelector("input[type=search]").focus(), j: () => move(1), k: () => move(-1), r: retry}[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  // Texts that can be copied.
  document.addEventListener("click", event => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const said = text => { button.textContent = text; };
    const select = () => {
      getSelection().selectAllChildren(source);
      said("Selected");
    };
    if (navigator.clipboard) navigator.clipboard.writeText(source.textContent).then(() => said("Copied"), select);
    else select();
  });

  // An order to try a channel with, remembered until the window is closed.
  const kept = document.querySelector("textarea[data-keep]");
  if (kept) {
    const name = "orderhook-" + kept.dataset.keep;
    if (!kept.value) kept.value = sessionStorage.getItem(name) || "";
    kept.form.addEventListener("submit", () => sessionStorage.setItem(name, kept.value));
  }

  // How long ago.
  const ago = (at, now) => {
    const seconds = Math.floor(Math.abs(at - now) / 1000);
    const text = seconds < 60 ? seconds + " s" : seconds < 3600 ? Math.floor(seconds / 60) + " min"
      : seconds < 172800 ? Math.floor(seconds / 3600) + " h" : Math.floor(seconds / 86400) + " days";
    return at > now ? "in " + text : text + " ago";
  };
  let shown = Number(main.dataset.now);
  let loaded = performance.now();
  setInterval(() => {
    const now = shown + performance.now() - loaded;
    for (const span of document.querySelectorAll(".ago[data-at]")) span.textContent = ago(Number(span.dataset.at), now);
  }, 10000);

  // The parts of the page that have changed. Others are left alone, and nothing is replaced while a button is pressed.
  const parts = document.querySelectorAll("[data-fresh]");
  const content = part => {
    const copy = part.cloneNode(true);
    for (const span of copy.querySelectorAll(".ago")) span.textContent = "";
    return copy.innerHTML;
  };
  const known = new Map([...parts].map(part => [part.dataset.fresh, content(part)]));
  for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
  let pressed = false;
  addEventListener("pointerdown", () => { pressed = true; });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => { pressed = false; }, 50));
  let busy = false;
  async function refresh() {
    if (busy) return;
    busy = true;
    try {
      const answer = await fetch(location.href, {headers: {accept: "text/html"}});
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      // Another page, such as the login, takes the place of this one.
      if (!fresh || !fresh.dataset.now) return location.reload();
      if (pressed) {
        setTimeout(refresh, 500);
        return;
      }
      shown = Number(fresh.dataset.now);
      loaded = performance.now();
      for (const part of page.querySelectorAll("[data-fresh]")) {
        const name = part.dataset.fresh;
        const old = document.querySelector("[data-fresh='" + CSS.escape(name) + "']");
        const html = content(part);
        if (!old || known.get(name) === html) continue;
        if (replace(old, part)) known.set(name, html);
      }
    } catch {
      // The service is away for a moment; the next event tries again.
    } finally {
      busy = false;
    }
  }
  function replace(old, part) {
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    if (focus && focus.matches("input:not([type=checkbox]), textarea, select")) return false;
    for (const details of old.querySelectorAll("details[data-key]")) {
      const same = part.querySelector("details[data-key='" + CSS.escape(details.dataset.key) + "']");
      if (same) same.open = details.open;
    }
    for (const box of old.querySelectorAll("input[type=checkbox]:checked")) {
      const same = part.querySelector("input[value='" + CSS.escape(box.value) + "']");
      if (same) same.checked = true;
    }
    for (const button of part.querySelectorAll("button[data-copy]")) button.hidden = false;
    // The same thing by its link, or what is now where it was.
    const href = focus && focus.getAttribute("href");
    const at = focus ? [...old.querySelectorAll("a, button, input")].indexOf(focus) : -1;
    old.replaceWith(part);
    if (!focus) return true;
    const all = [...part.querySelectorAll("a, button, input")];
    const same = (href && all.find(element => element.getAttribute("href") === href)) || all[Math.min(at, all.length - 1)];
    if (same) same.focus();
    return true;
  }

  // A hidden page listens to nothing: a browser keeps few connections to one server.
  const live = main.dataset.live && document.getElementById("live");
  if (!live) return;
  let source = null;
  let timer = 0;
  const listen = () => {
    if (document.hidden) {
      if (source) source.close();
      source = null;
      return;
    }
    if (source) return;
    source = new EventSource(main.dataset.live);
    source.onopen = () => {
      live.textContent = ", live";
      refresh();
    };
    source.onerror = () => { live.textContent = ", not live"; };
    source.addEventListener("changed", () => {
      clearTimeout(timer);
      timer = setTimeout(refresh, 100);
    });
  };
  document.addEventListener("visibilitychange", listen);
  addEventListener("pagehide", () => { if (source) source.close(); source = null; });
  addEventListener("pageshow", listen);
  listen();
})();
