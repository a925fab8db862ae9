// The heatmap: over the image, or beside it.
const COOL = [[32, 92, 168], [140, 214, 255]]; // evidence for NO, from some to much
const WARM = [[226, 88, 34], [255, 236, 140]]; // evidence for YES

// One canvas pixel a value, stretched by the browser over exactly the image's area.
function drawHeatmap(heatmap, threshold) {
  const canvas = $("heatmap");
  canvas.hidden = $("heat").hidden = !heatmap;
  layOut();
  if (!heatmap) return;
  canvas.width = heatmap.width;
  canvas.height = heatmap.height;
  const pixels = new ImageData(heatmap.width, heatmap.height);
  heatmap.values.flat().forEach((value, at) => pixels.data.set(colour(value, threshold), at * 4));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  fade();
}

// A value is the probability if the whole image looked like its cell: warm is what would then be YES.
function colour(value, threshold) {
  // -1 all for NO, 0 neither, 1 all for YES; a threshold of 1 has nothing above it.
  const lean = (value < threshold ? value / threshold - 1 : (value - threshold) / (1 - threshold)) || 0;
  const share = Math.abs(lean);
  const [some, much] = lean < 0 ? COOL : WARM;
  return [...some.map((low, channel) => low + (much[channel] - low) * share), 255 * share];
}

function fade() {
  $("heatmap").style.opacity = $("opacity").value / 100;
  $("shown").textContent = `${$("opacity").value}\u00a0%`;
}

// Without a heatmap there is nothing to stand beside.
function layOut() {
  const beside = !$("heatmap").hidden && document.querySelector("[name=layout]:checked").value === "beside";
  $("frames").classList.toggle("beside", beside);
  $("plain").hidden = !beside;
}

$("opacity").addEventListener("input", fade);
for (const choice of document.getElementsByName("layout")) choice.addEventListener("change", layOut);
