// Plays the recording of `ftps-lab demo` (asciicast v2, in window.ftpsLabCast) as text: no canvas, nothing fetched.
// It knows what the recording holds: lines, bold, blue and reverse, and a marker where a chapter begins.
(() => {
  "use strict";
  const place = document.querySelector("[data-cast]");
  const events = window.ftpsLabCast;
  if (!place || !events) return;

  const STYLES = { 1: "bold", 7: "reverse", 34: "blue" };
  const chapters = events.filter((event) => event[1] === "m").map(([at, , title]) => ({ at, title }));
  const total = events[events.length - 1][0];
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const make = (tag, attributes, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };
  const screen = make("pre", { tabIndex: 0 });
  screen.setAttribute("role", "region");
  screen.setAttribute("aria-label", "Recording of the demonstration; its text is below as a transcript");
  const play = make("button", { type: "button", textContent: "Play" });
  const seek = make("input", { type: "range", min: 0, max: Math.ceil(total), step: 1, value: 0 });
  seek.setAttribute("aria-label", "Position");
  const clock = make("span", {});
  const chapter = make("select", {}, ...chapters.map(({ title }, number) => make("option", { value: number, textContent: title })));
  chapter.setAttribute("aria-label", "Chapter");
  const speed = make("select", {}, ...[1, 2, 4].map((times) => make("option", { value: times, textContent: `${times}×` })));
  speed.setAttribute("aria-label", "Speed");
  place.replaceChildren(screen, make("div", { className: "cast-bar" }, play, seek, clock, chapter, speed));

  let now = 0, shown = 0, first = 0, styles = [], timer = 0;

  const write = (data) => {
    for (const part of data.replace(/\r\n/g, "\n").split(/(\x1b\[[\d;]*m)/)) {
      const codes = /^\x1b\[([\d;]*)m$/.exec(part);
      if (codes) styles = codes[1].split(";").reduce((kept, code) => (STYLES[code] ? [...kept, STYLES[code]] : []), styles);
      else if (part) screen.append(styles.length ? make("span", { className: styles.join(" "), textContent: part }) : part);
    }
  };
  const time = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  const label = () => {
    seek.value = now;
    seek.setAttribute("aria-valuetext", `${time(now)} of ${time(total)}`);
    clock.textContent = `${time(now)} / ${time(total)}`;
    const current = chapters.findLastIndex(({ at }) => at <= now);
    if (current >= 0) chapter.value = current;
  };
  // Shows what was printed until `now`; each chapter begins on an empty screen.
  const show = () => {
    for (; shown < events.length && events[shown][0] <= now; shown++) {
      if (events[shown][1] === "m") [first, styles] = [shown, []], screen.replaceChildren();
      else write(events[shown][2]);
    }
    screen.scrollTop = screen.scrollHeight;
    label();
  };
  const go = (to) => {
    now = Math.min(Math.max(to, 0), total);
    const start = events.findLastIndex(([at, kind]) => kind === "m" && at <= now);
    shown = Math.max(start, 0);
    screen.replaceChildren();
    show();
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  const start = () => {
    if (now >= total) go(0);
    let last = performance.now();
    play.textContent = "Pause";
    timer = setInterval(() => {
      const tick = performance.now();
      now = Math.min(total, now + ((tick - last) / 1000) * Number(speed.value));
      last = tick;
      show();
      if (now >= total) stop();
    }, 50);
  };
  const toggle = () => (timer ? stop() : start());
  // The last moment of a chapter: the whole chapter is on the screen.
  const end = (number) => (chapters[number + 1] ? chapters[number + 1].at - 0.01 : total);
  const turn = (by) => {
    const number = Math.min(Math.max(Number(chapter.value) + by, 0), chapters.length - 1);
    go(timer ? chapters[number].at : end(number));
    if (!timer) screen.scrollTop = 0;
  };

  play.addEventListener("click", toggle);
  seek.addEventListener("input", () => go(Number(seek.value)));
  chapter.addEventListener("change", () => turn(0));
  const KEYS = { " ": toggle, k: toggle, ArrowRight: () => go(now + 5), ArrowLeft: () => go(now - 5), n: () => turn(1), p: () => turn(-1) };
  screen.addEventListener("keydown", (event) => {
    if (!KEYS[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation(); // the site's own keys (n, p, s) are for the rest of the page
    KEYS[event.key]();
  });
  // It never plays by itself. Readers who prefer no motion see the whole first chapter; others see its beginning.
  go(still ? end(0) : chapters[0].at + 3);
  screen.scrollTop = 0;
})();
