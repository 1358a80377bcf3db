// The page's script: drawing, pictures and controls. All arithmetic is the engine's (Sources/PageEngine).

const lesson = JSON.parse(document.getElementById("lesson").textContent);
const BASE = 0, LORA = 1, FULL = 2;
const NAMES = ["base", "+ adapter", "fully tuned"];
const $ = (id) => document.getElementById(id);
const grouped = (n) => n.toLocaleString("en-US");
const PIXELS = lesson.height * lesson.width;

// The engine

async function open() {
  const packed = Uint8Array.from(atob($("payload").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let position = 0;
  const take = (count) => bytes.subarray(position, (position += count));
  const { instance } = await WebAssembly.instantiate(take(lesson.engine), {});
  const engine = instance.exports;
  const put = (array) => {
    const address = engine.reserve(array.byteLength);
    new Uint8Array(engine.memory.buffer, address, array.byteLength).set(
      new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return address;
  };
  const weightCount = lesson.sizes.slice(1).reduce((sum, n, i) => sum + n * (lesson.sizes[i] + 1), 0);
  const weights = put(take(4 * weightCount));
  const images = [lesson.train, lesson.test].map((n) => [take(n * PIXELS), take(n), n]);
  const [train, test] = images.map(([pixels, labels, n]) => [put(pixels), put(labels), n]);
  const sizes = put(Int32Array.from(lesson.sizes));
  engine.open(sizes, lesson.sizes.length, weights, ...train, ...test);
  [sizes, weights, train[0], train[1], test[0], test[1]].forEach(engine.release);
  return { engine, weightCount, test: { pixels: images[1][0], labels: images[1][1] } };
}

const { engine, weightCount, test } = await open();
const numbers = (count) => new Float32Array(engine.memory.buffer, engine.outbox(), count).slice();

/** Logits of an image of PIXELS bytes. */
function read(reader, pixels) {
  const address = engine.reserve(PIXELS);
  new Uint8Array(engine.memory.buffer, address, PIXELS).set(pixels);
  const logits = numbers(engine.read(reader, address));
  engine.release(address);
  return logits;
}

/** Errors on each digit. */
function errors(reader) {
  const answers = numbers(engine.answers(reader));
  const counts = new Array(10).fill(0);
  answers.forEach((answer, i) => { if (answer !== test.labels[i]) counts[test.labels[i]]++; });
  return { answers, counts, total: counts.reduce((a, b) => a + b) };
}

// What is set, and what has been learnt

const STEPS = 200;
const RATES = { [LORA]: 1e-2, [FULL]: 3e-4 };
const state = {
  digit: lesson.digit, rank: 1, alpha: 1, rate: 1, replay: 0.7, seed: lesson.seed, reader: LORA,
  step: 0, losses: { [LORA]: [], [FULL]: [] }, isMerged: false, isTeaching: false, image: null,
};
const results = { [BASE]: errors(BASE) };

function forget() {
  engine.begin(state.digit, 1 - state.replay, state.rank, state.alpha / state.rank, state.seed);
  state.step = 0;
  state.losses = { [LORA]: [], [FULL]: [] };
  state.isMerged = false;
  results[LORA] = results[FULL] = results[BASE];
  drawAll();
}

/** One step of both, at a rate that falls to zero over the lesson. */
function step() {
  const share = state.rate * Math.max(0, 1 - (state.step % STEPS) / STEPS);
  for (const reader of [LORA, FULL]) state.losses[reader].push(engine.step(reader, Math.fround(RATES[reader] * share)));
  state.step++;
}

async function teach() {
  if (state.isTeaching) return;
  if (state.isMerged) merge(false);
  state.isTeaching = true;
  $("teach").disabled = true;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const end = state.step + STEPS, start = performance.now();
  let last = start, frames = 0;
  while (state.step < end && state.isTeaching) {
    const now = await new Promise(still ? (next) => setTimeout(() => next(performance.now())) : requestAnimationFrame);
    const count = Math.min(10, Math.max(1, Math.round((now - last) * 0.12)));
    last = now;
    for (let i = 0; i < count && state.step < end; i++) step();
    $("progress").value = (state.step % STEPS || STEPS) / STEPS;
    if (!still) {
      drawWeights();
      drawLoss();
      if (frames++ % 4 === 0) { countErrors(); drawAnswer(); }
      if (frames % 24 === 0) drawSpectrum();
    }
  }
  const seconds = (performance.now() - start) / 1000;
  $("speed").textContent = `${Math.round(STEPS / seconds)} steps a second, of both`;
  state.isTeaching = false;
  $("teach").disabled = false;
  countErrors();
  drawAll();
  tell();
}

function countErrors() {
  results[LORA] = errors(LORA);
  results[FULL] = errors(FULL);
  drawErrors();
}

function merge(isMerged) {
  state.isMerged = isMerged;
  engine.merge(isMerged ? 1 : 0);
  drawAll();
}

// Pictures

const palette = { isDark: null, ends: null, middle: null };
function refreshPalette() {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  if (palette.isDark === isDark) return;
  palette.isDark = isDark;
  palette.middle = isDark ? [28, 28, 33] : [255, 255, 255];
  palette.ends = isDark ? [[86, 156, 255], [255, 138, 76]] : [[23, 84, 180], [185, 60, 8]];
}

/** Negative blue, positive orange, zero the ground. */
function paint(data, offset, value) {
  const size = Math.min(1, Math.abs(value)), end = palette.ends[value < 0 ? 0 : 1];
  for (let c = 0; c < 3; c++) data[offset + c] = palette.middle[c] + (end[c] - palette.middle[c]) * size;
  data[offset + 3] = 255;
}

/** Rows of a matrix as tiles of height × width in a square grid. */
function drawTiles(canvas, matrix, count, height, width, limit, gap) {
  const across = Math.ceil(Math.sqrt(count)), down = Math.ceil(count / across);
  const [w, h] = [across * (width + gap) - gap, down * (height + gap) - gap];
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const context = canvas.getContext("2d"), image = context.createImageData(w, h);
  for (let tile = 0; tile < count; tile++) {
    const left = (tile % across) * (width + gap), upper = Math.floor(tile / across) * (height + gap);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        paint(image.data, 4 * ((upper + y) * w + left + x), matrix[(tile * height + y) * width + x] / limit);
  }
  context.putImageData(image, 0, 0);
}

/** The magnitude that all but one in two hundred stay below. */
function limitOf(matrix) {
  const sample = [];
  for (let i = 0; i < matrix.length; i += Math.max(1, Math.floor(matrix.length / 2000))) sample.push(Math.abs(matrix[i]));
  sample.sort((a, b) => a - b);
  return Math.max(sample[Math.floor(sample.length * 0.995)], 1e-9);
}

const [inputs, neurons] = lesson.sizes;
const baseWeight = numbers(engine.weight(BASE, 0));
const weightLimit = limitOf(baseWeight);
/** How much more strongly than W what is added to it is drawn. */
const FINER = 6;

function drawWeights() {
  refreshPalette();
  const delta = numbers(engine.delta(LORA, 0));
  // Both on fixed scales, so that α is seen to act.
  drawTiles($("w"), state.isMerged ? numbers(engine.weight(LORA, 0)) : baseWeight, neurons, lesson.height, lesson.width, weightLimit, 1);
  drawTiles($("delta"), delta, neurons, lesson.height, lesson.width, weightLimit / FINER, 1);
  const a = numbers(engine.factorA(0)), b = numbers(engine.factorB(0)), rank = a.length / inputs;
  const pairs = $("pairs");
  const across = rank > 8 ? 3 : rank > 2 ? 2 : 1;
  if (pairs.childElementCount !== rank) {
    pairs.style.gridTemplateColumns = `repeat(${across}, minmax(0, 1fr))`;
    pairs.replaceChildren(...Array.from({ length: rank }, () => {
      const pair = document.createElement("div");
      pair.className = "pair";
      for (const part of ["b", "a"]) {
        const canvas = document.createElement("canvas");
        canvas.dataset.part = part;
        pair.append(canvas);
      }
      return pair;
    }));
    watchParts();
  }
  const [aLimit, bLimit] = [limitOf(a), Math.max(0.02, limitOf(b))];
  [...pairs.children].forEach((pair, r) => {
    const column = Float32Array.from({ length: neurons }, (_, i) => b[i * rank + r]);
    drawTiles(pair.children[0], column, neurons, 1, 1, bLimit, 0);
    drawTiles(pair.children[1], a.subarray(r * inputs, (r + 1) * inputs), 1, lesson.height, lesson.width, aLimit, 0);
  });
  pairs.classList.toggle("faded", state.isMerged);
  const norm = Math.sqrt(delta.reduce((sum, x) => sum + x * x, 0) / baseWeight.reduce((sum, x) => sum + x * x, 0));
  $("delta").setAttribute("aria-label", `What is added to W, ${neurons} tiles. Its norm is ${(100 * norm).toFixed(1)} percent of W's.`);
  $("w").setAttribute("aria-label", `W, ${neurons} tiles of ${lesson.height} by ${lesson.width}, one a neuron${state.isMerged ? ", with the adapter merged in" : ", frozen"}.`);
  pairs.setAttribute("aria-label", `${rank} pair${rank > 1 ? "s" : ""} of B, a number for each of ${neurons} neurons, and A, a picture of ${lesson.height} by ${lesson.width}.`);
  $("w-state").textContent = state.isMerged ? "with the product added" : "frozen";
  $("w-count").textContent = `${grouped(inputs * neurons)} numbers`;
  $("factor-count").textContent = `${grouped(rank * neurons)} + ${grouped(rank * inputs)} = ${grouped(rank * (inputs + neurons))} numbers`;
  $("delta-count").textContent = `${(100 * norm).toFixed(1)}% of W's norm; drawn ${FINER} times stronger`;
}

const LEFT = 34, RIGHT = 350, UPPER = 10, LOWER = 164;

/** A logarithmic axis from low to high, with its decades named. */
function decades(low, high, y) {
  let lines = "";
  for (let e = Math.ceil(Math.log10(low)); e <= Math.floor(Math.log10(high) + 1e-9); e++) {
    const at = y(10 ** e);
    lines += `<path class="axis" d="M${LEFT} ${at}H${RIGHT}"/><text x="${LEFT - 5}" y="${at + 4}" text-anchor="end">${10 ** e}</text>`;
  }
  return lines;
}

function drawLoss() {
  const count = Math.max(STEPS, state.step);
  const [low, high] = [0.01, 10];
  const y = (v) => LOWER - (LOWER - UPPER) * (Math.log10(Math.min(high, Math.max(low, v)) / low) / Math.log10(high / low));
  let content = decades(low, high, y);
  for (const [reader, name] of [[FULL, "full"], [LORA, "lora"]]) {
    let mean = null, path = "";
    state.losses[reader].forEach((loss, i) => {
      mean = mean === null ? loss : 0.85 * mean + 0.15 * loss;
      path += `${i ? "L" : "M"}${(LEFT + (RIGHT - LEFT) * (i + 1) / count).toFixed(1)} ${y(mean).toFixed(1)}`;
    });
    if (path) content += `<path class="${name}" d="${path}"/>`;
  }
  content += `<text x="${RIGHT}" y="${LOWER + 18}" text-anchor="end">step ${grouped(state.step)}</text>`
    + `<text class="lora" x="${LEFT}" y="${LOWER + 18}">adapter</text><text class="full" x="${LEFT + 58}" y="${LOWER + 18}">fully tuned</text>`;
  $("loss").innerHTML = content;
  const last = (reader) => state.losses[reader].slice(-20).reduce((a, b, _, all) => a + b / all.length, 0).toFixed(3);
  $("loss").setAttribute("aria-label", state.step
    ? `After ${state.step} steps, the mean loss of the last 20: adapter ${last(LORA)}, fully tuned ${last(FULL)}.` : "No step yet.");
}

function drawSpectrum() {
  const values = { lora: numbers(engine.spectrum(LORA, 0)), full: numbers(engine.spectrum(FULL, 0)) };
  const largest = Math.max(values.lora[0] || 0, values.full[0] || 0);
  if (!(largest > 0)) {
    $("spectrum").innerHTML = `<text x="180" y="70" text-anchor="middle">Nothing has been added yet.</text>`;
    $("spectrum").setAttribute("aria-label", "Nothing has been added yet.");
    return;
  }
  const high = 10 ** Math.ceil(Math.log10(largest)), low = high / 1000;
  const y = (v) => LOWER - (LOWER - UPPER) * (Math.log10(Math.max(low, v) / low) / 3);
  const count = values.full.length;
  const x = (i) => LEFT + 8 + (RIGHT - LEFT - 12) * i / Math.max(1, count - 1);
  let content = decades(low, high, y);
  for (const name of ["full", "lora"])
    values[name].forEach((v, i) => {
      if (v > low) content += `<circle class="${name} dot" cx="${x(i).toFixed(1)}" cy="${y(v).toFixed(1)}" r="${name === "lora" ? 4 : 2.5}"/>`;
    });
  content += `<text class="lora" x="${LEFT}" y="${LOWER + 18}">adapter: ${values.lora.length}</text>`
    + `<text class="full" x="${LEFT + 76}" y="${LOWER + 18}">fully tuned: ${count}</text>`;
  $("spectrum").innerHTML = content;
  const energy = values.full.reduce((sum, v) => sum + v * v, 0), first = values.full[0] ** 2 / energy;
  $("spectrum").setAttribute("aria-label",
    `The adapter added ${values.lora.length} singular value${values.lora.length > 1 ? "s" : ""}, the largest ${values.lora[0].toPrecision(2)}. `
    + `Full tuning added ${count}, the largest ${values.full[0].toPrecision(2)}, which holds ${Math.round(100 * first)} percent of the sum of squares.`);
}

function drawErrors() {
  const largest = Math.max(10, ...[BASE, LORA, FULL].flatMap((reader) => results[reader].counts));
  const rows = $("errors").tBodies[0].rows;
  for (let digit = 0; digit < 10; digit++) {
    rows[digit].className = digit === state.digit ? "taught" : "";
    [BASE, LORA, FULL].forEach((reader) => {
      const bar = rows[digit].cells[reader + 1].firstChild, count = results[reader].counts[digit];
      bar.firstChild.style.width = `${100 * count / largest}%`;
      bar.lastChild.textContent = count;
    });
  }
  const [all, trained] = $("errors").tFoot.rows;
  [BASE, LORA, FULL].forEach((reader) => {
    all.cells[reader + 1].textContent = results[reader].total;
    trained.cells[reader + 1].textContent = grouped(engine.trainedCount(reader));
  });
}

function drawAnswer() {
  const same = engine.sameBits(), all = lesson.test * lesson.sizes[lesson.sizes.length - 1];
  $("bits").textContent = state.reader === BASE
    ? (same === all ? `Switched off: all ${grouped(all)} test logits have the base's very bits.` : `${grouped(all - same)} of ${grouped(all)} test logits differ from the base's.`)
    : "";
  const bars = $("chances").children;
  if (!state.image) {
    [...bars].forEach((bar) => { bar.className = ""; bar.firstChild.style.height = 0; });
    return;
  }
  const logits = read(state.reader, state.image), largest = Math.max(...logits);
  const weights = logits.map((v) => Math.exp(v - largest)), sum = weights.reduce((a, b) => a + b);
  const best = logits.indexOf(largest);
  [...bars].forEach((bar, i) => {
    bar.className = i === best ? "best" : "";
    bar.firstChild.style.height = `${100 * weights[i] / sum}%`;
  });
  const truth = state.truth === undefined ? "" : state.truth === best ? ", right" : `; it is a ${state.truth}`;
  const answer = `${NAMES[state.reader]} reads <b>${best}</b>, ${Math.round(100 / sum)}%${truth}`;
  if ($("answer").innerHTML !== answer) $("answer").innerHTML = answer;
}

function drawAll() {
  drawWeights();
  drawErrors();
  drawLoss();
  drawSpectrum();
  drawAnswer();
  $("teach").textContent = state.step ? `Teach ${state.digit} further` : `Teach ${state.digit}`;
  $("progress").value = state.step ? 1 : 0;
  $("rank-value").textContent = state.rank;
  $("alpha-value").textContent = `${state.alpha.toFixed(1)} (× ${(state.alpha / state.rank).toFixed(2)})`;
  $("rate-value").textContent = `× ${state.rate.toPrecision(2)}`;
  $("replay-value").textContent = `${Math.round(100 * state.replay)}%`;
  $("merge").setAttribute("aria-pressed", state.isMerged);
  $("merge").textContent = state.isMerged ? "Unmerge" : "Merge";
  $("merged").textContent = state.isMerged
    ? `Merged: W is one matrix again, as large and as fast as before. No test logit moved by more than ${engine.mergeError().toExponential(0)}.` : "";
}

function tell() {
  const [before, lora, full] = [BASE, LORA, FULL].map((reader) => results[reader].counts[state.digit]);
  const others = (reader) => results[reader].total - results[reader].counts[state.digit] - (results[BASE].total - before);
  const signed = (n) => (n > 0 ? `+${n}` : n < 0 ? `−${-n}` : "no change");
  $("told").textContent =
    `Errors on ${state.digit}: ${before} → ${lora} with the adapter, ${full} fully tuned. On the others: ${signed(others(LORA))} and ${signed(others(FULL))}.`;
}

// Drawing

const pad = $("pad"), pen = pad.getContext("2d", { willReadFrequently: true });
const cursor = { x: 140, y: 140, isDown: false, isShown: false };
let picture = null; // the strokes without the cursor

function wipe() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, 280, 280);
  picture = null;
  state.image = null;
  state.truth = undefined;
  $("answer").textContent = "Draw, or take an example.";
  drawAnswer();
}

function line(from, to) {
  if (picture) { pen.putImageData(picture, 0, 0); picture = null; }
  pen.strokeStyle = "#111";
  pen.lineWidth = 22;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x + 0.01, to.y);
  pen.stroke();
  state.truth = undefined;
  state.image = scanned();
  drawAnswer();
}

/** What is drawn as MNIST has it: 20 pixels in its longer side, the centre of its ink in the middle of 28 × 28. */
function scanned() {
  const { data } = pen.getImageData(0, 0, 280, 280);
  let [left, upper, right, lower] = [280, 280, -1, -1];
  for (let y = 0; y < 280; y++)
    for (let x = 0; x < 280; x++)
      if (data[4 * (y * 280 + x)] < 200) {
        left = Math.min(left, x); right = Math.max(right, x); upper = Math.min(upper, y); lower = Math.max(lower, y);
      }
  if (right < 0) return null;
  const size = Math.max(right - left, lower - upper) + 1, scale = 20 / size;
  const small = (dx, dy) => {
    const canvas = document.createElement("canvas");
    canvas.width = lesson.width; canvas.height = lesson.height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff";
    context.fillRect(0, 0, lesson.width, lesson.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(pad, left, upper, right - left + 1, lower - upper + 1, dx, dy, (right - left + 1) * scale, (lower - upper + 1) * scale);
    const pixels = context.getImageData(0, 0, lesson.width, lesson.height).data;
    return Uint8Array.from({ length: PIXELS }, (_, i) => 255 - pixels[4 * i]);
  };
  const corner = [(lesson.width - (right - left + 1) * scale) / 2, (lesson.height - (lower - upper + 1) * scale) / 2];
  const first = small(...corner);
  let [ink, x, y] = [0, 0, 0];
  first.forEach((v, i) => { ink += v; x += v * (i % lesson.width); y += v * Math.floor(i / lesson.width); });
  return small(
    corner[0] + Math.round((lesson.width - 1) / 2 - x / ink), corner[1] + Math.round((lesson.height - 1) / 2 - y / ink));
}

function show(image, truth) {
  const canvas = document.createElement("canvas");
  canvas.width = lesson.width; canvas.height = lesson.height;
  const context = canvas.getContext("2d"), data = context.createImageData(lesson.width, lesson.height);
  image.forEach((v, i) => data.data.set([255 - v, 255 - v, 255 - v, 255], 4 * i));
  context.putImageData(data, 0, 0);
  picture = null;
  pen.imageSmoothingEnabled = true;
  pen.drawImage(canvas, 0, 0, 280, 280);
  state.image = image;
  state.truth = truth;
  drawAnswer();
}

let example = -1;
/** The next test digit that the base gets wrong: first those of the taught digit. */
function nextExample() {
  const wrong = [...test.labels.keys()].filter((i) => results[BASE].answers[i] !== test.labels[i]);
  const order = [...wrong.filter((i) => test.labels[i] === state.digit), ...wrong.filter((i) => test.labels[i] !== state.digit)];
  example = (example + 1) % order.length;
  const i = order[example];
  show(test.pixels.slice(i * PIXELS, (i + 1) * PIXELS), test.labels[i]);
}

function at(event) {
  const box = pad.getBoundingClientRect();
  return { x: (event.clientX - box.left) * 280 / box.width, y: (event.clientY - box.top) * 280 / box.height };
}
let previous = null;
pad.addEventListener("pointerdown", (event) => {
  pad.setPointerCapture(event.pointerId);
  if (state.truth !== undefined) wipe(); // drawing begins on a clean sheet, not on an example
  previous = at(event);
  line(previous, previous);
});
pad.addEventListener("pointermove", (event) => {
  if (!previous) return;
  const now = at(event);
  line(previous, now);
  previous = now;
});
for (const kind of ["pointerup", "pointercancel"]) pad.addEventListener(kind, () => { previous = null; });

function drawCursor() {
  if (picture) pen.putImageData(picture, 0, 0);
  picture = pen.getImageData(0, 0, 280, 280);
  pen.fillStyle = cursor.isDown ? "#b93c08" : "#1d5fd1";
  pen.beginPath();
  pen.arc(cursor.x, cursor.y, 6, 0, 7);
  pen.fill();
}
pad.addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key === "Delete" || event.key === "Backspace") wipe();
  else if (event.key === " ") {
    if (state.truth !== undefined) wipe();
    cursor.isDown = !cursor.isDown;
    if (cursor.isDown) line(cursor, cursor);
  } else if (moves[event.key]) {
    const [dx, dy] = moves[event.key], from = { ...cursor };
    cursor.x = Math.min(270, Math.max(10, cursor.x + 10 * dx));
    cursor.y = Math.min(270, Math.max(10, cursor.y + 10 * dy));
    if (cursor.isDown) line(from, cursor);
  } else return;
  event.preventDefault();
  drawCursor();
});
pad.addEventListener("blur", () => { if (picture) { pen.putImageData(picture, 0, 0); picture = null; } cursor.isDown = false; });

// Controls

function watchParts() {
  for (const element of document.querySelectorAll("[data-part]")) {
    const light = (isLit) => () => {
      for (const other of document.querySelectorAll(`[data-part="${element.dataset.part}"]`)) other.classList.toggle("lit", isLit);
    };
    element.onpointerenter = element.onfocus = light(true);
    element.onpointerleave = element.onblur = light(false);
  }
}

$("lede").innerHTML =
  `This network misreads <b>${results[BASE].counts[state.digit]}</b> of `
  + `${test.labels.filter((label) => label === state.digit).length} images of a ${state.digit}. Freeze its <b>${grouped(weightCount)}</b> numbers; train `
  + `<b id="lede-count"></b> beside them.`;
const worst = results[BASE].counts.indexOf(Math.max(...results[BASE].counts));
$("test-count").textContent = grouped(lesson.test);
$("digit").append(...Array.from({ length: 10 }, (_, i) => new Option(i === worst ? `${i}, misread most` : i, i)));
$("digit").value = state.digit;
$("chances").append(...Array.from({ length: 10 }, (_, i) => {
  const bar = document.createElement("div");
  bar.innerHTML = `<i></i><b>${i}</b>`;
  return bar;
}));
for (let digit = 0; digit < 10; digit++) {
  const row = $("errors").tBodies[0].insertRow();
  row.innerHTML = `<th scope="row">${digit}</th>` + ["base", "lora", "full"].map((c) => `<td class="${c}"><span class="bar"><i></i><span></span></span></td>`).join("");
}

function relearn() {
  state.isTeaching = false;
  $("told").textContent = "";
  $("speed").textContent = "";
  forget();
  $("lede-count").textContent = grouped(engine.trainedCount(LORA));
}
$("digit").addEventListener("change", (e) => { state.digit = +e.target.value; example = -1; relearn(); });
$("rank").addEventListener("input", (e) => {
  state.rank = +e.target.value;
  state.alpha = state.rank; // α/r = 1, until α is moved
  $("alpha").max = 4 * state.rank;
  $("alpha").value = state.alpha;
  relearn();
});
$("alpha").addEventListener("input", (e) => {
  state.alpha = +e.target.value;
  engine.setScale(state.alpha / state.rank);
  if (state.isMerged) engine.merge(1);
  if (!state.isTeaching) { countErrors(); tell(); }
  drawAll();
});
$("rate").addEventListener("input", (e) => { state.rate = 10 ** (+e.target.value / 10); drawAll(); });
$("replay").addEventListener("input", (e) => { state.replay = +e.target.value / 100; relearn(); });
$("teach").addEventListener("click", teach);
$("reset").addEventListener("click", relearn);
$("merge").addEventListener("click", () => merge(!state.isMerged));
$("clear").addEventListener("click", wipe);
$("example").addEventListener("click", nextExample);
for (const radio of document.querySelectorAll("input[name=reader]"))
  radio.addEventListener("change", () => { state.reader = +radio.value; drawAnswer(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

watchParts();
wipe();
relearn();
// For tests and the curious.
globalThis.loraPage = { engine, lesson, state, results, numbers, read, test, BASE, LORA, FULL };
