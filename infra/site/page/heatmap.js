// The heatmap, over the image or beside it.
const WARM = [[226, 88, 34], [255, 236, 140]]; // from some evidence to much

// One canvas pixel per value; the browser stretches the canvas over exactly the image's area.
function drawHeatmap({ heatmap, label } = {}) {
  const canvas = $("heatmap");
  canvas.hidden = $("heatmap-controls").hidden = !heatmap;
  layOut();
  const path = heatmap && label === "YES" ? outline(heatmap) : "";
  $("outline").firstChild.setAttribute("d", path);
  if (!heatmap) return;
  $("outline").setAttribute("viewBox", `0 0 ${heatmap.width} ${heatmap.height}`);
  $("region").textContent = path ? "The line is around the region with the strongest evidence." : "No region stands out.";
  canvas.width = heatmap.width;
  canvas.height = heatmap.height;
  const pixels = new ImageData(heatmap.width, heatmap.height);
  heatmap.values.flat().forEach((value, at) => pixels.data.set(colour(value), at * 4));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  updateOpacity();
}

// A value is the evidence for YES, from 0 to 1: without any, the image stays clear.
function colour(value) {
  const [some, much] = WARM;
  return [...some.map((low, channel) => low + (much[channel] - low) * value), 255 * value];
}

// An SVG path around the strongest region: the cells of at least half the maximum that are connected with it.
function outline({ width, values }) {
  const cells = values.flat();
  const peak = Math.max(...cells);
  const region = new Set(peak > 0 ? [cells.indexOf(peak)] : []);
  let path = "";
  for (const at of region) { // grows on the way
    const x = at % width;
    const y = (at - x) / width;
    // Each neighbour, and the side towards it.
    for (const [column, row, side] of [[x - 1, y, `M${x} ${y}v1`], [x + 1, y, `M${x + 1} ${y}v1`], [x, y - 1, `M${x} ${y}h1`], [x, y + 1, `M${x} ${y + 1}h1`]]) {
      if (values[row]?.[column] >= peak / 2) region.add(row * width + column);
      else path += side;
    }
  }
  return path;
}

function updateOpacity() {
  $("heatmap").style.opacity = $("opacity").value / 100;
  $("opacity-value").textContent = `${$("opacity").value}\u00a0%`;
}

// Without a heatmap the image stands alone.
function layOut() {
  const beside = !$("heatmap").hidden && document.querySelector("[name=layout]:checked").value === "beside";
  $("frames").classList.toggle("beside", beside);
  $("original-frame").hidden = !beside;
}

$("opacity").addEventListener("input", updateOpacity);
for (const choice of document.getElementsByName("layout")) choice.addEventListener("change", layOut);
