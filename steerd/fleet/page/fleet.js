"use strict";

// Every figure is asked for again each 5 seconds; names come from elsewhere and are only ever set as text.
const EVERY = 5000;
const ROWS = 200;
let figures = null;
let start = 0;

const one = (query) => document.querySelector(query);
const pops = one("#pops tbody"), gateways = one("#gateways tbody");
const popSearch = one("#pop-search"), search = one("#search");

function cell(text, kind) {
  const made = document.createElement("td");
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function ago(seconds) {
  if (seconds === null) return "never";
  if (seconds < 100) return `${Math.round(seconds)} s ago`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

function sum(counts) {
  return Object.values(counts).reduce((a, b) => a + b, 0);
}

function takes(pop) {
  if (!pop.accepting) return ["no, it says", "warn"];
  if (pop.drained_for.length) return [`drained for ${pop.drained_for.join(", ")}`, "warn"];
  return ["yes", "good"];
}

function trouble(pop) {
  const all = sum(pop.states);
  return (all ? 1 - (pop.states.up || 0) / all : 0) + (pop.accepting ? 0 : 1) + (pop.drained_for.length ? 0.5 : 0);
}

function seen(pop) {
  const all = sum(pop.states);
  if (!all) return ["nobody measures it", "warn"];
  const not = ["suspect", "down", "recovering", "absent"].filter((state) => pop.states[state]);
  const words = not.map((state) => `${pop.states[state]} ${state}`);
  const up = pop.states.up || 0;
  return [[`${up} up`, ...words].join(", "), up === 0 ? "bad" : up < all / 2 ? "warn" : ""];
}

const ORDERS = {
  users: (a, b) => b.users - a.users,
  name: (a, b) => a.name.localeCompare(b.name),
  load: (a, b) => (b.load ?? -1) - (a.load ?? -1),
  trouble: (a, b) => trouble(b) - trouble(a),
  rtt: (a, b) => (a.rtt ?? Infinity) - (b.rtt ?? Infinity),
};

function showPops() {
  const text = popSearch.text.value.toLowerCase();
  const found = figures.pops.filter((pop) => pop.name.toLowerCase().includes(text));
  found.sort((a, b) => ORDERS[popSearch.order.value](a, b) || a.name.localeCompare(b.name));
  const most = Math.max(1, ...figures.pops.map((pop) => pop.users));
  one("#pops-count").textContent = found.length === figures.pops.length ? found.length : `${found.length} of ${figures.pops.length}`;
  pops.replaceChildren(...found.map((pop) => {
    const name = document.createElement("button");
    name.type = "button";
    name.className = "link";
    name.textContent = pop.name;
    name.title = `show the gateways on ${pop.name}`;
    name.addEventListener("click", () => {
      search.pop.value = pop.name;
      searched();
      search.pop.focus();
    });
    const first = document.createElement("th");
    first.scope = "row";
    first.append(name);
    const users = cell(pop.users, "n bar");
    users.style.backgroundSize = `${100 * pop.users / most}% 100%`;
    users.title = Object.entries(pop.by_policy).map(([policy, count]) => `${policy}: ${count}`).join("\n");
    const load = cell(pop.load === null ? "–" : `${Math.round(100 * pop.load)} %`, "n bar");
    load.style.backgroundSize = `${100 * (pop.load || 0)}% 100%`;
    return row([
      first, cell(...takes(pop)), users, load, cell(...seen(pop)),
      cell(pop.rtt === null ? "–" : `${pop.rtt.toFixed(1)} ms`, "n"), cell(ago(pop.age), "n"),
    ]);
  }));
}

function showSummary() {
  const totals = { online: 0, stale: 0, offline: 0 };
  for (const counts of Object.values(figures.presence)) {
    for (const [presence, count] of Object.entries(counts)) totals[presence] += count;
  }
  const parts = [`${totals.online} gateways online`, `${totals.stale} stale`, `${totals.offline} offline`];
  if (figures.inventory === null) parts.push("no inventory: nothing is rolled up");
  else if (figures.strangers) parts.push(`${figures.strangers} not in the inventory`);
  if (!figures.drains) parts.push("signed drains are not shown: no trusted_keys");
  if (!figures.connected) parts.unshift("THE BROKER IS NOT CONNECTED");
  one("#summary").textContent = parts.join(" · ");
  one("#summary").className = figures.connected ? "" : "bad";
  one("#tenant").textContent = figures.tenant;
  const regions = Object.keys(figures.presence).sort();
  const known = [...search.region.options].slice(1).map((option) => option.value);
  if (regions.join() !== known.join()) {
    const chosen = search.region.value;
    search.region.replaceChildren(new Option("any", ""), ...regions.map((name) => new Option(name, name)));
    search.region.value = regions.includes(chosen) ? chosen : "";
  }
}

const PRESENCE = { online: "good", stale: "warn", offline: "bad" };

function showGateways(found) {
  const end = Math.min(found.start + found.rows.length, found.total);
  one("#gateways-count").textContent = found.total > found.rows.length ? `${found.start + 1} to ${end} of ${found.total}` : found.total;
  one("#back").disabled = found.start === 0;
  one("#next").disabled = end >= found.total;
  gateways.replaceChildren(...found.rows.map((gateway) => {
    const choices = Object.entries(gateway.choices).map(([policy, path]) => `${policy}: ${path ?? "none"}`).join(", ");
    const moved = gateway.moved;
    const last = moved ? `${ago(moved.at)}: ${moved.policy} ${moved.old ?? "none"} → ${moved.new ?? "none"} (${moved.reason})` : "–";
    const state = gateway.reason && gateway.presence === "offline" ? `offline: ${gateway.reason}` : gateway.presence;
    return row([
      cell(gateway.known || figures?.inventory === null ? gateway.name : `${gateway.name} (not in the inventory)`), cell(gateway.region),
      cell(state, PRESENCE[gateway.presence]), cell(choices || "–"), cell(last), cell(ago(gateway.age), "n"), cell(gateway.version),
    ]);
  }));
}

async function ask(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

let asked = 0;

async function look() {
  const turn = ++asked;
  const words = new URLSearchParams(new FormData(search));
  words.set("start", start);
  try {
    const [all, found] = await Promise.all([ask("fleet.json"), ask(`gateways.json?${words}`)]);
    if (turn !== asked) return; // somebody has searched for something else meanwhile
    figures = all;
    showSummary();
    showPops();
    if (found.start >= found.total && start) {
      start = 0;
      return look();
    }
    showGateways(found);
  } catch (error) {
    one("#summary").textContent = `No answer from the fleet service (${error.message}): the figures below are old.`;
    one("#summary").className = "bad";
  }
}

function searched() {
  start = 0;
  look();
}

let typing = 0;
search.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(searched, 200);
});
popSearch.addEventListener("input", () => figures && showPops());
for (const form of [search, popSearch]) form.addEventListener("submit", (event) => event.preventDefault());
one("#back").addEventListener("click", () => { start = Math.max(0, start - ROWS); look(); });
one("#next").addEventListener("click", () => { start += ROWS; look(); });

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, EVERY);
}
keepLooking();
