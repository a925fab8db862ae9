// The images of this visit: which there are, which is in view, and what has become of each.
const images = [];
let current = null; // the one in view
let announced = true; // whether the last of them to be through was told

function take(files) {
  if (!files.length || access.shut) return;
  refusedSince = null; // patience is anew with what is new
  const taken = files.map(added);
  select(taken[0]);
  sendOn();
}

function added(file) {
  const fault = faultOf(file);
  const item = { file, url: URL.createObjectURL(file), request: null, state: fault ? { kind: "problem", ...fault } : { kind: "queued" } };
  item.badge = made("b", {});
  item.thumb = made("div", { className: "thumb", role: "option", tabIndex: -1, onclick: () => select(item) });
  item.thumb.append(made("img", { src: item.url, alt: "", decoding: "async", onerror: ({ target }) => target.remove() }), item.badge);
  item.row = made("tr", { onclick: () => select(item) });
  images.push(item);
  $("gallery").append(item.thumb);
  $("rows").append(item.row);
  label(item);
  return item;
}

// Every change of an image's state comes by here.
function become(item, state) {
  item.state = state;
  if (!images.includes(item)) return; // removed while it was under way
  label(item);
  if (!isBusy(state)) remember(item);
  if (item === current) {
    if (state.kind === "answer") drawHeatmap(state.heatmap, state.threshold);
    read(state);
    if (!isBusy(state)) reveal();
  }
  tally();
}

function label(item) {
  const said = summary(item.state);
  const { kind } = item.state;
  item.badge.textContent = kind === "answer" ? `${said.answer} ${Math.round(item.state.probability * 100)}\u00a0%` : said.answer;
  item.thumb.className = `thumb ${kind === "answer" ? said.answer : kind}`;
  item.thumb.ariaLabel = `${seen(item.file.name)}: ${item.badge.textContent}`;
  fill(item.row, item.file.name, item.state);
}

function select(item) {
  current = item;
  for (const each of images) {
    each.thumb.ariaSelected = each === item;
    each.thumb.tabIndex = each === item ? 0 : -1;
    if (each === item) each.row.setAttribute("aria-current", "true");
    else each.row.removeAttribute("aria-current");
  }
  $("drop").hidden = Boolean(item);
  $("view").hidden = !item;
  $("file").setAttribute("aria-labelledby", item ? "add" : "drop"); // the label that is seen
  $("gallery").hidden = $("all").hidden = images.length < 2;
  $("view").classList.toggle("many", images.length > 1);
  drawHeatmap(item?.state.heatmap, item?.state.threshold);
  preview(item);
  if (item) read(item.state);
  else show("idle", "");
  tally();
}

function preview(item) {
  $("frames").hidden = true;
  $("unseen").hidden = true;
  if (!item) return;
  const name = seen(item.file.name);
  $("image").alt = `Preview of ${name}`;
  $("original").alt = `${name} without the heatmap`;
  $("image").src = $("original").src = item.url;
  describe(name, bytes(item.file.size));
}

function describe(name, about) {
  $("caption").replaceChildren(made("bdi", { textContent: name }), ` · ${about}`);
}

function tally() {
  const through = images.filter(({ state }) => !isBusy(state));
  const of = (answer) => through.filter(({ state }) => summary(state).answer === answer).length;
  const counts = ["YES", "NO", "refused", "failed"].map((answer) => [of(answer), answer]).filter(([count]) => count);
  const told = [`${through.length} of ${images.length} through`, ...counts.map(([count, answer]) => `${count} ${answer}`)].join(" · ");
  const done = through.length === images.length;
  $("tally").textContent = told;
  $("overall").hidden = $("cancel-all").hidden = done;
  $("overall").max = images.length || 1;
  $("overall").value = through.length;
  $("csv").disabled = !through.length;
  $("again-all").hidden = !through.some(({ state }) => state.again);
  if (done && !announced && images.length > 1) $("status").textContent += ` ${told}.`;
  announced = done;
}

function remove(...items) {
  const at = images.indexOf(items[0]);
  for (const item of items) images.splice(images.indexOf(item), 1); // before another one goes off
  for (const item of items) {
    item.request?.abort();
    item.thumb.remove();
    item.row.remove();
    URL.revokeObjectURL(item.url);
  }
  select(images[Math.min(at, images.length - 1)] || null);
  if (!images.length) $("file").focus();
}

// In a list of choices one is reached by Tab, the others by the arrows.
function walk(event) {
  const at = images.indexOf(current);
  const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: images.length - 1 }[event.key];
  if (event.key === "Delete") remove(current);
  else if (to === undefined) return;
  else if (images[to]) select(images[to]);
  event.preventDefault();
  current?.thumb.focus();
}

$("image").addEventListener("load", ({ target: { naturalWidth: width, naturalHeight: height } }) => {
  if (!current) return; // removed before it was shown
  $("frames").style.setProperty("--ratio", width / height);
  $("frames").hidden = false;
  describe(seen(current.file.name), `${bytes(current.file.size)} · ${width} × ${height}`);
});
$("image").addEventListener("error", () => {
  $("unseen").hidden = !current;
});
$("gallery").addEventListener("keydown", walk);
$("remove").addEventListener("click", () => remove(current));
$("remove-all").addEventListener("click", () => remove(...images));
$("cancel-all").addEventListener("click", () => images.slice().reverse().forEach(cancel));
$("again-all").addEventListener("click", () => tryAgain(...images.filter(({ state }) => state.again)));
$("csv").addEventListener("click", () => download("tumor-detector.csv", images.filter(({ state }) => !isBusy(state)).map(({ file, state }) => record(file.name, state))));
