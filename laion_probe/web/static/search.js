// The search page. What comes from the data set only ever becomes text, or an <img>'s address.
import { byId, element, say } from "./page.js";

let settings;
/** What was last found: rows, the collection they are of, and the words searched by, if any. */
let last = null;

const by = () => document.querySelector("input[name=by]:checked").value;
const collection = () => settings.collections.find((c) => c.name === byId("collection").value);
const TIMEOUT_MS = 60000;

async function ask(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return { content, applied: answer.headers.get("X-Applied") ?? "" };
}

// Asking

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
    reader.onerror = () => reject(new Error("the picture cannot be read"));
    reader.readAsDataURL(file);
  });
}

function numbers(text) {
  let read;
  try {
    read = JSON.parse(text);
  } catch {
    throw new Error("the embedding is not JSON: paste a list of numbers, such as [0.1, -0.2]");
  }
  if (Array.isArray(read) && read.length === 1 && Array.isArray(read[0])) read = read[0];
  if (!Array.isArray(read) || !read.every((x) => typeof x === "number")) {
    throw new Error("the embedding is not a list of numbers, such as [0.1, -0.2]");
  }
  return read;
}

/** What is searched by, as the server takes it. */
async function query() {
  if (by() === "text") {
    const text = byId("text").value.trim();
    if (!text) throw new Error("write what to search for");
    return { text };
  }
  if (by() === "embedding") return { embedding_input: numbers(byId("embedding").value) };
  const [file] = byId("file").files;
  const address = byId("address").value.trim();
  if (!file && !address) throw new Error("choose a picture");
  return file ? { image: await base64(file) } : { image_url: address };
}

async function search() {
  const asked = await query();
  const count = Math.max(1, Math.min(settings.max_results, Number(byId("count").value) || 60));
  const name = byId("collection").value;
  say("Searching…", "wait");
  // Nothing that bends the order is asked for.
  const { content, applied } = await ask("knn-service", {
    ...asked,
    modality: byId("modality").value,
    num_images: count,
    num_result_ids: count,
    indice_name: name,
  });
  last = { rows: content, collection: collection(), text: asked.text ?? null, count };
  byId("found").hidden = false;
  byId("applied").textContent = inWords(applied);
  offerFilters();
  offerCommand();
  show();
  byId("found-title").focus();
}

/** The items of X-Applied as a sentence. */
function inWords(header) {
  const items = [...header.matchAll(/([a-z-]+);applied=\?([01])(?:;left-out=(\d+))?;note="([^"]*)"/g)];
  const said = items.map(([, name, done, leftOut, note]) => {
    const words = name === "search" ? `${note} search` : `${name.replaceAll("-", " ")} (${note})`;
    return (done === "1" ? words : `not ${words}`) + (leftOut ? `, ${leftOut} left out` : "");
  });
  return `${said.join("; ")}. Nothing was re-ranked or left out for looks, safety or likeness.`;
}

// What was found

function offerFilters() {
  const has = (name) => last.collection.columns.includes(name);
  const languages = [...new Set(last.rows.map((r) => r.language).filter(Boolean))].sort();
  byId("language").replaceChildren(
    element("option", { value: "" }, "any"),
    ...languages.map((name) => element("option", { value: name }, name)),
  );
  const lacking = [];
  for (const [id, column] of [["language", "language"], ["unsafe", "punsafe"], ["words", "caption"]]) {
    byId(id).disabled = !has(column);
    if (!has(column)) lacking.push(column);
  }
  byId("lacking").textContent = lacking.length
    ? `The metadata of ${last.collection.name} have no ${lacking.join(", no ")}.`
    : "Rows whose language or punsafe is unknown pass no filter on it.";
}

function passes(row) {
  const number = (id) => (byId(id).value === "" || byId(id).disabled ? null : Number(byId(id).value));
  const least = number("least");
  const unsafe = number("unsafe");
  const language = byId("language").value;
  const words = byId("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const caption = String(row.caption ?? "").toLowerCase();
  return (
    (least === null || row.similarity >= least) &&
    (unsafe === null || (typeof row.punsafe === "number" && row.punsafe <= unsafe)) &&
    (!language || row.language === language) &&
    words.every((word) => caption.includes(word))
  );
}

function show() {
  const passing = last.rows.filter(passes);
  byId("rows").replaceChildren(...passing.map(card));
  const n = last.rows.length;
  say(passing.length === n ? `${n} rows` : `${passing.length} of ${n} rows pass the filters`);
}

function card(row) {
  const known = [];
  if (row.language) known.push(String(row.language));
  if (typeof row.punsafe === "number") known.push(`punsafe ${row.punsafe.toFixed(2)}`);
  const children = [
    element(
      "p",
      { class: "similarity" },
      row.similarity.toFixed(4),
      element("span", {}, ` · row ${row.id}${known.length ? ` · ${known.join(" · ")}` : ""}`),
    ),
    row.caption
      ? element("p", { class: "caption", dir: "auto" }, String(row.caption))
      : element("p", { class: "caption none" }, "no caption"),
  ];
  // Not a link: what is behind it is nobody's to vouch for.
  if (row.url) children.push(element("p", { class: "address", dir: "ltr" }, String(row.url)));
  if (settings.thumbnails && /^https?:\/\//i.test(row.url ?? "")) children.unshift(thumbnail(row));
  return element("li", {}, ...children);
}

function isBlurred(row) {
  if (typeof row.punsafe !== "number") return byId("blur-unknown").checked;
  return row.punsafe >= Number(byId("blur").value || 0);
}

function thumbnail(row) {
  const picture = element("img", {
    src: row.url,
    alt: "",
    loading: "lazy",
    decoding: "async",
    referrerpolicy: "no-referrer",
  });
  const frame = element("div", { class: "picture" }, picture);
  if (isBlurred(row)) {
    frame.classList.add("blurred");
    const reveal = element("button", { type: "button", "aria-label": `Show row ${row.id}` }, "Show");
    reveal.addEventListener("click", () => {
      frame.classList.remove("blurred");
      reveal.remove();
    });
    frame.append(reveal);
  }
  picture.addEventListener("error", () => {
    frame.className = "picture lost";
    frame.replaceChildren(element("p", { class: "small" }, "The picture does not load."));
  });
  return frame;
}

/** A word as a POSIX shell reads it back, whatever is in it; never more than one line. */
function quoted(word) {
  const line = word.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  return /^[\w@%+:,./-]+$/.test(line) ? line : `'${line.replaceAll("'", "'\\''")}'`;
}

function offerCommand() {
  const is = last.text !== null;
  byId("command").parentElement.hidden = byId("copy").hidden = !is;
  if (!is) {
    byId("probe-text").textContent = "Search by words first: a concept is named by words.";
    return;
  }
  const { model, pretrained } = settings;
  const folder = last.collection.folder ?? "FOLDER";
  // With =, so that words that begin with a dash are no option.
  const parts = ["laion-probe", "neighbours", quoted(folder), `--concept=${quoted(last.text)}`];
  parts.push("--model", quoted(model ?? "MODEL"));
  if (pretrained) parts.push("--pretrained", quoted(pretrained));
  byId("command").textContent = parts.join(" ");
  byId("probe-text").textContent =
    "A list of what is nearest is not an estimate. This command estimates what the neighbourhood is " +
    "composed of, with its threshold and intervals; `laion-probe annotate` then has people rate a sample.";
}

byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("command").textContent);
    byId("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(byId("command"));
    byId("copy").textContent = "Selected: press Ctrl-C";
  }
  setTimeout(() => (byId("copy").textContent = "Copy"), 2000);
});

// The form

function showWay() {
  for (const part of document.querySelectorAll("[data-by]")) part.hidden = part.dataset.by !== by();
}

function showCollection() {
  const chosen = collection();
  byId("modality").replaceChildren(
    ...chosen.modalities.map((m) => element("option", { value: m }, m === "image" ? "pictures" : "captions")),
  );
  byId("of").hidden = chosen.modalities.length < 2;
  for (const input of document.querySelectorAll("input[name=by]")) {
    const off = input.value === "picture" && settings.pictures === "off";
    input.disabled = off || (input.value !== "embedding" && !chosen.encodes);
    if (input.disabled && input.checked) document.querySelector("input[value=embedding]").checked = true;
  }
  byId("about").textContent =
    `${chosen.rows.toLocaleString("en")} rows, ${chosen.search[byId("modality").value]} search` +
    (chosen.encodes ? "" : ", by embedding alone: the model is not at hand");
  showWay();
}

async function attempt(what) {
  byId("go").disabled = true;
  try {
    await what();
  } catch (error) {
    const lost = error instanceof TypeError || error.name === "TimeoutError";
    say(lost ? "The server does not answer: try again." : error.message, "bad");
  }
  byId("go").disabled = false;
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(search);
});
byId("search").addEventListener("change", (event) => {
  if (event.target.name === "by") showWay();
  if (event.target.id === "collection") showCollection();
  if (event.target.id === "file") byId("address").value = "";
  if (event.target.id === "address") byId("file").value = "";
});
for (const id of ["filters", "blurring"]) byId(id).addEventListener("input", show);

async function open() {
  settings = (await ask("settings")).content;
  byId("collection").replaceChildren(
    ...settings.collections.map((c) => element("option", { value: c.name }, c.name)),
  );
  byId("count").max = settings.max_results;
  byId("blur").value = settings.safe_below;
  byId("by-address").hidden = settings.pictures !== "scenes";
  byId("blurring").hidden = !settings.thumbnails;
  byId("shown").textContent = settings.thumbnails
    ? "Pictures are fetched by this browser from the sites that hold them, which see its address."
    : "Pictures are not shown: whoever runs this server can start it with --thumbnails.";
  showCollection();
  byId("search").hidden = false;
  byId("text").focus({ preventScroll: true });
}

attempt(open);
