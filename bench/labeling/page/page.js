"use strict";
// The page asks for a pair, shows it, and sends what the person says. An answer is the server's when it says so; until
// then it is sent again, under the same nonce, so that it counts once.
const find = (id) => document.getElementById(id);
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "equal", ArrowDown: "skip" };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
let person = null, shown = null, shownAt = null, busy = false, seenStep = -1;

class Refused extends Error {
  constructor(code, message) { super(message); this.code = code; }
}

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options || {});
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    throw new Refused(answer.status, typeof told.detail === "string" ? told.detail : "The server did not understand.");
  }
  return told;
}

async function persist(path, body) { // until the server has it; only a refusal ends this
  for (let pause = 500; ; pause = Math.min(pause * 2, 5000)) {
    try {
      return await ask(path, body);
    } catch (error) {
      if (error instanceof Refused && error.code !== 507) throw error;
      say(error instanceof Refused ? error.message : "The server does not answer. Start it again; this page goes on by itself.", true);
      await wait(pause);
    }
  }
}

function say(text, bad = false) {
  find("status").textContent = text;
  find("status").classList.toggle("bad", bad);
}

async function enter(name) {
  try {
    person = (await persist("/api/join", { name, secret: secret() })).person;
  } catch (error) {
    find("join").hidden = false;
    throw error;
  }
  localStorage.setItem("name", name);
  find("join").hidden = true;
  for (const id of ["progress", "undo"]) find(id).hidden = false;
  next();
}

function secret() { // by which the server knows this browser again, so that nobody else answers under the name
  const kept = localStorage.getItem("secret") || random();
  localStorage.setItem("secret", kept);
  return kept;
}

function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function next() {
  busy = true;
  enable(false);
  for (let first = true; ; first = false) {
    try {
      const told = await persist("/api/next", { person, secret: secret() });
      if (told.question !== null) return show(told);
    } catch (error) {
      if (error.code === 404) return enter(localStorage.getItem("name") || "somebody");
      say(error.message, true);
      return;
    }
    find("question").hidden = true;
    if (first) await refresh();
    await wait(700);
  }
}

async function show(told) {
  shown = told;
  find("question").hidden = false;
  for (const side of ["left", "right"]) {
    find(side).parentElement.classList.remove("chosen");
  }
  for (const button of document.querySelectorAll("[data-answer]")) {
    button.classList.toggle("before", button.dataset.answer === told.answer);
  }
  for (let pause = 500; ; pause = Math.min(pause * 2, 5000)) { // nobody judges what cannot be seen
    const drawn = await Promise.all(["left", "right"].map((side) => play(find(side), told[side])));
    if (drawn.every(Boolean)) break;
    say("The clips are not drawn yet; the page goes on by itself.", true);
    await wait(pause);
  }
  say(told.answer ? "Undone. Answer this pair again." : "");
  shownAt = performance.now();
  busy = false;
  enable(true);
}

async function play(video, address) { // whole clips, as not every browser plays parts of a file; false if it cannot be had
  try {
    const clip = await fetch(address);
    if (!clip.ok) return false;
    URL.revokeObjectURL(video.src);
    video.src = URL.createObjectURL(await clip.blob());
    await new Promise((done, failed) => { video.oncanplay = done; video.onerror = failed; });
    video.play().catch(() => {}); // a browser that saves power starts it at a touch
    return true;
  } catch {
    return false;
  }
}

function enable(on) {
  for (const button of document.querySelectorAll("[data-answer], #undo")) button.disabled = !on;
}

async function answer(what) {
  if (busy || !shown) return;
  busy = true;
  enable(false);
  if (what === "left" || what === "right") find(what).parentElement.classList.add("chosen");
  try {
    const seconds = Math.round(performance.now() - shownAt) / 1000;
    await persist("/api/answer", { nonce: shown.nonce, answer: what, seconds });
    say("Kept.");
  } catch (error) {
    say(error.message, true);
    await wait(1500);
  }
  refresh();
  next();
}

async function undo() {
  if (busy && find("question").hidden === false) return;
  busy = true;
  enable(false);
  try {
    const told = await persist("/api/undo", { person, secret: secret(), nonce: random() });
    if (told.question !== null) return show(told);
    say("There is no answer of yours to undo.");
  } catch (error) {
    say(error.message, true);
  }
  busy = false;
  enable(true);
}

const TRAINER = {
  training: "The agent is practising; the next pair is on its way.",
  done: "All done: the agent has learned what it will. Thank you!",
  starting: "The agent is warming up; the first pairs are on their way.",
};

async function refresh() {
  let told;
  try {
    told = await ask("/api/progress" + (person === null ? "" : "?person=" + person));
  } catch (error) {
    if (error instanceof Refused) say(error.message, true);
    return;
  }
  find("goal").textContent = told.goal || "Which is better?";
  document.title = told.goal || "Which is better?";
  find("bar").value = told.labels ? told.answered / told.labels : 0;
  find("labels").textContent = `${told.answered} of ${told.labels}`;
  find("mine").textContent = told.mine;
  find("hourly").textContent = told.hourly ?? "–";
  find("left-time").textContent = told.minutes_left === null ? "–" : time(told.minutes_left);
  if (find("question").hidden && person !== null) say(TRAINER[told.trainer] || told.trainer, !(told.trainer in TRAINER));
  if (told.step > seenStep && told.step > 0) {
    seenStep = told.step;
    find("agent").hidden = false;
    find("trained").textContent = `The agent now, after ${told.step.toLocaleString("en")} of ${told.steps.toLocaleString("en")} steps`;
    play(find("present"), "/clips/agent.mp4");
  }
  draw("agreement", told.agreement, 0, 1, (value) => Math.round(100 * value) + " %", told.labels, "answers");
  const heights = told.predicted.map((point) => point[1]);
  draw("predicted", told.predicted, Math.min(...heights), Math.max(...heights), (value) => value.toFixed(2), told.steps, "steps");
}

const time = (minutes) => minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;

function draw(id, points, low, high, format, end, unit) {
  const svg = find(id);
  svg.replaceChildren();
  const add = (kind, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    svg.append(element);
  };
  if (points.length < 2) {
    add("text", { x: 150, y: 80, "text-anchor": "middle" }, "after a few more answers");
    svg.setAttribute("aria-label", "nothing to show yet");
    return;
  }
  if (high === low) high = low + 1;
  const x = (value) => 45 + 245 * value / end, y = (value) => 125 - 110 * (value - low) / (high - low);
  for (const value of [low, high]) {
    add("line", { x1: 45, x2: 290, y1: y(value), y2: y(value) });
    add("text", { x: 40, y: y(value) + 4, "text-anchor": "end" }, format(value));
  }
  add("text", { x: 290, y: 144, "text-anchor": "end" }, `${end.toLocaleString("en")} ${unit}`);
  add("polyline", { points: points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(" ") });
  svg.setAttribute("aria-label", `now ${format(points.at(-1)[1])}`);
}

find("join").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(find("name").value).catch((error) => say(error.message, true));
});
for (const button of document.querySelectorAll("[data-answer]")) {
  button.addEventListener("click", () => answer(button.dataset.answer));
}
for (const side of ["left", "right"]) find(side).parentElement.addEventListener("click", () => answer(side));
find("undo").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  if (event.target === find("name") || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.key in KEYS) answer(KEYS[event.key]);
  else if (event.key === "Backspace") undo();
  else return;
  event.preventDefault();
});

const known = localStorage.getItem("name");
if (known) enter(known).catch((error) => say(error.message, true));
else find("join").hidden = false;
refresh();
setInterval(refresh, 5000);
