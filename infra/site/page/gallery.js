// The images of this visit, which one is selected, and the state of each.
const images = [];
let current = null; // the selected one
let announced = true; // whether the end of the batch was announced

function addFiles(files) {
  if (!files.length || auth.readOnly) return;
  throttledSince = null; // new images start with full patience
  const taken = files.map(addImage);
  select(taken[0]);
  taken.forEach(enqueue);
}

function addImage(file) {
  const item = { file, name: file.name, request: null, state: { kind: "queued" } };
  item.badge = element("b", {});
  item.thumb = element("div", { className: "thumb", role: "option", tabIndex: -1, onclick: () => select(item) });
  item.thumb.append(item.badge);
  item.row = element("tr", { onclick: () => select(item) });
  images.push(item);
  $("gallery").append(item.thumb);
  $("rows").append(item.row);
  label(item);
  setPicture(item, file);
  return item;
}

// The picture is the file, or one made of it.
function setPicture(item, picture) {
  if (!images.includes(item)) return; // removed meanwhile
  URL.revokeObjectURL(item.url);
  item.url = URL.createObjectURL(picture);
  const image = element("img", { src: item.url, alt: "", decoding: "async", onerror: ({ target }) => target.remove() });
  item.thumb.replaceChildren(image, item.badge);
  if (item === current) showPreview(item);
}

// Every change of an image's state goes through here.
function setState(item, state) {
  item.state = state;
  if (!images.includes(item)) return; // removed while in flight
  label(item);
  if (!isBusy(state)) addToHistory(item);
  if (item === current) {
    if (state.kind === "answer") drawHeatmap(state);
    showState(state);
    if (!isBusy(state)) scrollToResult();
  }
  updateSummary();
}

function label(item) {
  const text = summary(item.state);
  const { kind } = item.state;
  item.badge.textContent = kind === "answer" ? `${text.answer} ${Math.round(item.state.probability * 100)}\u00a0%` : text.answer;
  item.thumb.className = `thumb ${kind === "answer" ? text.answer : kind}`;
  item.thumb.ariaLabel = `${printable(item.name)}: ${item.badge.textContent}`;
  fillRow(item.row, item.name, item.state);
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
  $("file").setAttribute("aria-labelledby", item ? "add" : "drop"); // the visible label
  $("gallery").hidden = $("all").hidden = images.length < 2;
  $("view").classList.toggle("many", images.length > 1);
  $("choice").replaceChildren(...(item?.choice ?? [])); // of a frame
  drawHeatmap(item?.state);
  showPreview(item);
  if (item) showState(item.state);
  else show("idle", "");
  updateSummary();
}

function showPreview(item) {
  $("frames").hidden = true;
  $("undisplayable").hidden = true;
  if (!item) return;
  const name = printable(item.name);
  $("image").alt = `Preview of ${name}`;
  $("original").alt = `${name} without the heatmap`;
  $("image").src = $("original").src = item.url;
  setCaption(name, bytes(item.file.size));
}

function setCaption(name, about) {
  $("caption").replaceChildren(element("bdi", { textContent: name }), ` · ${about}`);
}

function updateSummary() {
  const finished = images.filter(({ state }) => !isBusy(state));
  const of = (answer) => finished.filter(({ state }) => summary(state).answer === answer).length;
  const counts = ["YES", "NO", "refused", "failed"].map((answer) => [of(answer), answer]).filter(([count]) => count);
  const summaryText = [`${finished.length} of ${images.length} done`, ...counts.map(([count, answer]) => `${count} ${answer}`)].join(" · ");
  const done = finished.length === images.length;
  $("summary").textContent = summaryText;
  $("overall").hidden = $("cancel-all").hidden = done;
  $("overall").max = images.length || 1;
  $("overall").value = finished.length;
  $("csv").disabled = !finished.length;
  $("retry-all").hidden = !finished.some(({ state }) => state.again);
  if (done && !announced && images.length > 1) $("status").textContent += ` ${summaryText}.`;
  announced = done;
}

function remove(...items) {
  const at = images.indexOf(items[0]);
  for (const item of items) images.splice(images.indexOf(item), 1); // before another one is sent
  for (const item of items) {
    item.request?.abort();
    item.thumb.remove();
    item.row.remove();
    URL.revokeObjectURL(item.url);
  }
  select(images[Math.min(at, images.length - 1)] || null);
  if (!images.length) $("file").focus();
}

// Tab reaches one image of the list, the arrow keys the others.
function moveSelection(event) {
  const at = images.indexOf(current);
  const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: images.length - 1 }[event.key];
  if (event.key === "Delete") remove(current);
  else if (to === undefined) return;
  else if (images[to]) select(images[to]);
  event.preventDefault();
  current?.thumb.focus();
}

$("image").addEventListener("load", ({ target: { naturalWidth: width, naturalHeight: height } }) => {
  if (!current) return; // removed before it was displayed
  $("frames").style.setProperty("--ratio", width / height);
  $("frames").hidden = false;
  setCaption(printable(current.name), `${bytes(current.file.size)} · ${width} × ${height}`);
});
$("image").addEventListener("error", () => {
  $("undisplayable").hidden = !current;
});
$("gallery").addEventListener("keydown", moveSelection);
$("remove").addEventListener("click", () => remove(current));
$("remove-all").addEventListener("click", () => remove(...images));
$("cancel-all").addEventListener("click", () => images.slice().reverse().forEach(cancel));
$("retry-all").addEventListener("click", () => retry(...images.filter(({ state }) => state.again)));
$("csv").addEventListener("click", () => download("tumor-detector.csv", images.filter(({ state }) => !isBusy(state)).map(({ name, state }) => csvFields(name, state))));
