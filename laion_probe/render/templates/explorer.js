// Everything that a data set says is written as text, never as markup.
(() => {
  "use strict";
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const SHORT = 160;

  const theme = find("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const nameTheme = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  system.addEventListener("change", nameTheme);
  nameTheme();
  theme.hidden = false;

  const make = (tag, words, className) => {
    const element = document.createElement(tag);
    if (words !== undefined) element.textContent = words;
    if (className) element.className = className;
    return element;
  };
  // A name from a data set keeps its direction to itself.
  const named = (words) => {
    const element = make("bdi", words);
    element.dir = "auto";
    return element;
  };
  // A number as [text, pointer, form, value], tied to its place in result.json.
  const tied = ([text, pointer, form, value]) => {
    const element = make("span", text, form === "number" ? "num" : "est");
    Object.assign(element.dataset, { pointer, form, value });
    return element;
  };
  const short = (words) => (words.length > SHORT ? words.slice(0, SHORT - 1) + "…" : words);
  const says = (p) => {
    const caption = p.caption.trim() ? `“${short(p.caption)}”` : "no caption";
    return `Picture of ${data.groups[p.group]} in ${data.sets[p.set]}, cluster ${p.cluster}: ${caption}`;
  };
  const image = (p) => {
    const element = make("img");
    if (p.image) element.src = p.image;
    element.alt = says(p);
    return element;
  };
  const pick = (i) => {
    const button = make("button", undefined, "pick");
    button.type = "button";
    button.dataset.picture = i;
    button.append(image(data.pictures[i]));
    button.addEventListener("click", () => showNearest(i));
    return button;
  };

  let from = null;
  const showNearest = (i) => {
    const p = data.pictures[i];
    if (document.activeElement && document.activeElement.closest("#side")) from = document.activeElement;
    for (const b of document.querySelectorAll("button.pick")) {
      b.setAttribute("aria-pressed", String(Number(b.dataset.picture) === i));
    }
    const words = make("p");
    words.append(named(data.groups[p.group]), ", ", named(data.sets[p.set]), `, cluster ${p.cluster}. `);
    words.append(p.caption.trim() ? named(p.caption) : make("span", "no caption", "none"));
    find("near").querySelector(".asked").replaceChildren(image(p), words);
    const sets = p.nearest.map((rows, s) => {
      const section = make("section");
      const head = make("h3", "Nearest in ");
      head.append(named(data.sets[s]));
      const list = make("ul", undefined, "near");
      for (const [j, cosine] of rows) {
        const item = make("li");
        const about = make("p");
        about.append(named(data.groups[data.pictures[j].group]), ", cosine ", tied(cosine));
        item.append(pick(j), about);
        list.append(item);
      }
      section.append(head, rows.length ? list : make("p", "No other picture of this set is shown.", "none"));
      return section;
    });
    find("near").querySelector(".sets").replaceChildren(...sets);
    find("near").hidden = false;
    find("h-near").focus({ preventScroll: true });
    find("near").scrollIntoView({ block: "start" });
  };
  find("back").addEventListener("click", () => {
    (from && from.isConnected ? from : find("left-set")).focus();
  });

  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const bar = ([cluster, number, value]) => {
    const item = make("li");
    const plot = svg("svg", { "aria-hidden": "true", focusable: "false" });
    plot.append(svg("rect", { width: `${100 * value}%`, height: "100%" }));
    item.append(make("span", `Cluster ${cluster}`), plot, tied(number));
    return item;
  };
  const fact = (list, name, ...parts) => {
    const about = make("dd");
    about.append(...parts);
    list.append(make("dt", name), about);
  };

  const chosen = (side) => [Number(find(`${side}-set`).value), Number(find(`${side}-group`).value)];
  const lookOf = (set, group) => data.looks.find((l) => l.set === set && l.group === group);
  const fill = (select, pairs, value) => {
    select.replaceChildren(...pairs.map(([v, words]) => {
      const option = make("option", words);
      option.value = v;
      return option;
    }));
    if (pairs.some(([v]) => v === value)) select.value = value;
  };

  const between = () => {
    const [a, group] = chosen("left");
    const [b, other] = chosen("right");
    const place = find("between");
    const d = data.differs.find((x) => x.group === group
      && ((x.first === a && x.second === b) || (x.first === b && x.second === a)));
    if (group !== other || a === b || !d) {
      place.textContent = "";
      return;
    }
    place.replaceChildren(
      "Entropy of ", named(data.sets[d.second]), " less that of ", named(data.sets[d.first]), ": ",
      tied(d.entropy), ", shown by ", tied(d.n_uneven), " of ", tied(d.n_seeds), " clusterings. Distance: ",
      tied(d.distance), " of the pictures would have to be in another cluster, shown by ",
      tied(d.n_apart), " of ", tied(d.n_seeds), ".");
  };

  const showSide = (side) => {
    const [set, group] = chosen(side);
    const look = lookOf(set, group);
    const panel = find(side);
    const average = panel.querySelector(".average");
    average.hidden = !look.average;
    if (look.average) average.src = look.average;
    average.alt = `Average picture of ${data.groups[group]} in ${data.sets[set]}`;
    panel.querySelector("figcaption").replaceChildren(
      "Average of ", tied(look.averaged), look.aligned ? ", aligned by face" : ", not aligned");
    const facts = panel.querySelector("dl");
    facts.replaceChildren();
    fact(facts, "Pictures", tied(look.n), " in ", tied(look.units), ` ${data.units[set]}`);
    fact(facts, "Entropy, 0 to 1", tied(look.entropy));
    fact(facts, "Colourfulness", tied(look.colour));
    panel.querySelector(".bars").replaceChildren(...look.shares.map(bar));
    const items = [];
    data.pictures.forEach((p, i) => {
      if (p.set !== set || p.group !== group) return;
      const item = make("li");
      item.append(pick(i));
      items.push(item);
    });
    panel.querySelector(".grid").replaceChildren(...items);
    between();
  };
  const showGroups = (side) => {
    const [set, group] = chosen(side);
    const has = data.looks.filter((l) => l.set === set).map((l) => [String(l.group), data.groups[l.group]]);
    fill(find(`${side}-group`), has, String(group));
    showSide(side);
  };

  const sets = data.sets.map((name, i) => [String(i), name])
    .filter(([i]) => data.looks.some((l) => l.set === Number(i)));
  for (const [side, start] of [["left", 0], ["right", Math.min(1, sets.length - 1)]]) {
    fill(find(`${side}-set`), sets, sets[start][0]);
    const groups = data.looks.filter((l) => l.set === Number(sets[start][0]));
    fill(find(`${side}-group`), groups.map((l) => [String(l.group), data.groups[l.group]]), String(groups[0].group));
    find(`${side}-set`).addEventListener("change", () => showGroups(side));
    find(`${side}-group`).addEventListener("change", () => showSide(side));
  }
  find("needs").hidden = true;
  find("side").hidden = false;
  showSide("left");
  showSide("right");
})();
