"use strict";
// DICOM files: what is sent of one, its pictures, and the choice of a frame. Loaded with the first such file.
window.readDicom = (() => {
  // The elements that are sent: container.dicom.TAGS.
  const TAGS = new Set([
    0x00080060, 0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103,
    0x00280120, 0x00280301, 0x00281052, 0x00281053, 0x00283000, 0x20500020, 0x7fe00001, 0x7fe00002, 0x7fe00008, 0x7fe00009, 0x7fe00010,
  ]);
  const TEXTS = [0x00080060, 0x00280004, 0x00280008, 0x00280301, 0x00281052, 0x00281053, 0x20500020]; // those of them that are text
  // What these may hold besides numbers. Anything else could name a person: X is sent for each letter.
  const TERMS = new Set(
    ("MR,CR,CT,DOC,DX,ECG,MG,NM,OT,PR,PT,REG,RF,RTDOSE,RTIMAGE,RTPLAN,RTSTRUCT,SC,SEG,SR,US,XA,YES,NO,IDENTITY,INVERSE," +
      "MONOCHROME1,MONOCHROME2,RGB,PALETTE COLOR,YBR_FULL,YBR_FULL_422,YBR_ICT,YBR_RCT").split(","),
  );
  const NUMBER = /^[-+\d.eE]*$/;
  const PIXELS = 0x7fe0; // the group
  const MODALITY_LUT = 0x00283000;
  const LUT_TAGS = new Set([0x00283002, 0x00283006]); // of its item: descriptor and data
  const LUT_VRS = ["US", "SS", "OW", "UN", undefined];
  const TRANSFER_SYNTAX = 0x00020010;
  const IMPLICIT = "1.2.840.10008.1.2";
  const BIG_ENDIAN = "1.2.840.10008.1.2.2";
  const UNCOMPRESSED = [IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN];
  const DEFLATED = "1.2.840.10008.1.2.1.99";
  const META = 132; // where the file's meta information begins, which is explicit little endian
  const LONG = ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]; // VRs with 4 bytes of length
  const UNDEFINED = 0xffffffff;
  const [ITEM, ITEM_END, SEQUENCE_END] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
  const MAX_DEPTH = 16;
  const MAX_BYTES = Math.max(64 * 2 ** 20, maxBytes); // of a file that is read; what is sent of it is smaller
  const ENDS = [0.001, 0.999]; // as in container.grey_levels

  // The element at a place. Reading beyond the file throws a RangeError here as everywhere.
  function elementAt({ view, little, implicit }, start) {
    const tag = view.getUint16(start, little) * 0x10000 + view.getUint16(start + 2, little);
    if (implicit || tag >>> 16 === ITEM >>> 16) return { tag, start, value: start + 8, length: view.getUint32(start + 4, little) };
    const vr = String.fromCharCode(view.getUint8(start + 4), view.getUint8(start + 5));
    if (!/[A-Z]{2}/.test(vr)) throw new RangeError("no VR");
    if (LONG.includes(vr)) return { tag, vr, start, value: start + 12, length: view.getUint32(start + 8, little) };
    return { tag, vr, start, value: start + 8, length: view.getUint16(start + 6, little) };
  }

  // Hands over each element, with its end, of a data set that ends at `end` or, as an item, before that.
  function walk(set, at, end, found, depth = 0) {
    while (at < end) {
      const each = elementAt(set, at);
      if (depth && each.tag === ITEM_END) return each.value;
      at = each.length === UNDEFINED ? endOfSequence(inside(set, each), each.value, end, depth + 1) : each.value + each.length;
      if (at > end) throw new RangeError("beyond the end");
      found({ ...each, end: at });
    }
    return at;
  }

  function endOfSequence(set, at, end, depth) {
    if (depth > MAX_DEPTH) throw new RangeError("too deep");
    for (;;) {
      const { tag, value, length } = elementAt(set, at);
      if (tag === SEQUENCE_END) return value;
      if (tag !== ITEM) throw new RangeError("no item");
      at = length === UNDEFINED ? walk(set, value, end, () => {}, depth) : value + length;
    }
  }

  // Of an unknown VR, a sequence is implicit little endian (PS3.5, 6.2.2).
  const inside = (set, { vr }) => (vr === "UN" ? { ...set, implicit: true, little: true } : set);

  const bytesOf = ({ view }, start, end) => new Uint8Array(view.buffer, start, end - start);

  // Text without its padding.
  const textOf = ({ view }, { value, length }) => new TextDecoder("latin1").decode(new Uint8Array(view.buffer, value, length)).replace(/[\0 ]+$/, "").trim();

  function delimiter({ little }, tag, length) {
    const view = new DataView(new ArrayBuffer(8));
    view.setUint16(0, tag >>> 16, little);
    view.setUint16(2, tag & 0xffff, little);
    view.setUint32(4, length, little);
    return view;
  }

  // The Modality LUT Sequence, whose one item keeps its table and no text.
  function withoutText(set, { vr, start, value, end, length }) {
    if (!length) return [];
    const items = inside(set, { vr });
    const item = elementAt(items, value);
    if (item.tag !== ITEM) throw new RangeError("no item");
    const kept = [];
    walk(items, item.value, item.length === UNDEFINED ? end : item.value + item.length, (each) => LUT_TAGS.has(each.tag) && LUT_VRS.includes(each.vr) && kept.push(bytesOf(set, each.start, each.end)), 1);
    return [bytesOf(set, start, value - 4), new Uint8Array(4).fill(0xff), delimiter(items, ITEM, UNDEFINED), ...kept, delimiter(items, ITEM_END, 0), delimiter(items, SEQUENCE_END, 0)];
  }

  // An element as it was, but for a text that is no term or number.
  function harmless(set, each) {
    const { tag, start, value, length, end } = each;
    const text = textOf(set, each);
    const isKnown = TEXTS.includes(tag) ? TERMS.has(text) || NUMBER.test(text) : length === 2;
    return isKnown ? [bytesOf(set, start, end)] : [bytesOf(set, start, value), "X".repeat(length)];
  }

  // The transfer syntax, and the data set with the elements that are kept.
  function parse(view) {
    const meta = { view, little: true, implicit: false };
    let at = META;
    let syntax = "";
    while (at < view.byteLength && view.getUint16(at, true) === TRANSFER_SYNTAX >>> 16) {
      const each = elementAt(meta, at);
      if (each.tag === TRANSFER_SYNTAX) syntax = textOf(meta, each);
      at = each.value + each.length;
    }
    if (!/^[\d.]{1,64}$/.test(syntax)) throw new RangeError("no transfer syntax");
    if (syntax === DEFLATED) throw { title: TITLES[415], detail: "This DICOM file is deflated as a whole. Its header cannot be removed, so it is not sent: save it uncompressed." };
    const set = { view, little: syntax !== BIG_ENDIAN, implicit: syntax === IMPLICIT };
    const elements = new Map();
    walk(set, at, view.byteLength, (each) => TAGS.has(each.tag) && elements.set(each.tag, each));
    return { syntax, set, elements };
  }

  // A file of what is kept: an empty preamble, the transfer syntax, and the elements.
  function stripped({ syntax, set, elements }) {
    const uid = new TextEncoder().encode(syntax.padEnd(syntax.length + (syntax.length % 2), "\0"));
    const head = new DataView(new ArrayBuffer(META + 20));
    head.setUint32(META - 4, 0x4449434d); // DICM
    [META, META + 12].forEach((place, at) => {
      head.setUint16(place, 2, true);
      head.setUint16(place + 2, at * 0x10, true);
      head.setUint16(place + 4, at ? 0x5549 : 0x554c); // UI, UL
    });
    head.setUint16(META + 6, 4, true);
    head.setUint32(META + 8, 8 + uid.length, true); // the group's length
    head.setUint16(META + 18, uid.length, true);
    const kept = [...elements.values()].flatMap((each) => {
      if (each.tag === MODALITY_LUT) return withoutText(set, each);
      return each.tag >>> 16 === PIXELS ? [bytesOf(set, each.start, each.end)] : harmless(set, each);
    });
    return new Blob([head, uid, ...kept]);
  }

  // What the header says of the pixels.
  function described({ syntax, set, elements }) {
    const integer = (tag, otherwise) => (elements.get(tag)?.length >= 2 ? set.view.getUint16(elements.get(tag).value, set.little) : otherwise);
    const text = (tag) => (elements.has(tag) ? textOf(set, elements.get(tag)) : "");
    const bits = integer(0x00280100, 0);
    return {
      rows: integer(0x00280010, 0),
      columns: integer(0x00280011, 0),
      frames: Number.parseInt(text(0x00280008), 10) || 1,
      bits,
      unused: 32 - integer(0x00280101, bits),
      signed: integer(0x00280103) === 1,
      padding: integer(0x00280120),
      inverse: (text(0x20500020) === "INVERSE" || text(0x00280004) === "MONOCHROME1") !== (Number.parseFloat(text(0x00281053)) < 0),
      pixels: elements.get(0x7fe00010),
      isPlain: UNCOMPRESSED.includes(syntax) && !elements.has(MODALITY_LUT) && integer(0x00280002, 1) === 1 && text(0x00280004).startsWith("MONOCHROME") && (bits === 16 || (bits === 8 && set.little)),
    };
  }

  // The stored values of one frame; null where only the container can decode them.
  function storedValues({ view, little }, { rows, columns, bits, unused, signed, pixels, isPlain }, frame) {
    const size = rows * columns;
    const wide = bits / 8;
    const from = (frame - 1) * size * wide;
    if (!isPlain || !size || !pixels || from + size * wide > pixels.end - pixels.value) return null;
    const values = new Int32Array(size);
    for (let at = 0; at < size; at++) {
      const place = pixels.value + from + at * wide;
      const shifted = (wide === 1 ? view.getUint8(place) : view.getUint16(place, little)) << unused;
      values[at] = signed ? shifted >> unused : shifted >>> unused;
    }
    return values;
  }

  // Their grey levels, as container.dicom and container.grey_levels.narrowed make them.
  function greyLevels(values, { bits, signed, padding, inverse }) {
    const hidden = signed ? (padding << 16) >> 16 : padding;
    const isShown = (value) => padding === undefined || value !== hidden;
    const levels = inverse ? values.map((value) => -value) : values;
    const darkest = levels.reduce((least, level, at) => (isShown(values[at]) ? Math.min(least, level) : least), 0);
    const counted = levels.map((level, at) => (isShown(values[at]) ? level : darkest)).sort();
    const stretched = ENDS.map((share) => counted[Math.max(0, Math.ceil(share * counted.length) - 1)]);
    const [low, high] = bits > 8 || signed ? stretched : inverse ? [-255, 0] : [0, 255];
    const grey = Uint8ClampedArray.from(levels, (level) => ((level - low) * 255) / Math.max(1, high - low));
    return grey.map((level, at) => (isShown(values[at]) ? level : 0));
  }

  // The PNG of a canvas on which `paint` draws.
  function picture({ rows, columns }, paint) {
    const canvas = element("canvas", { width: columns, height: rows });
    paint(canvas.getContext("2d"));
    return new Promise((done) => canvas.toBlob(done));
  }

  // The picture of a frame, or null. It is read from what is sent: the file itself does not stay in memory.
  async function drawn(body, frame) {
    const found = parse(new DataView(await body.arrayBuffer()));
    const about = described(found);
    const values = storedValues(found.set, about, frame);
    if (!values) return null;
    const pixels = new ImageData(about.columns, about.rows);
    const channels = pixels.data.fill(255);
    greyLevels(values, about).forEach((level, at) => channels.fill(level, 4 * at, 4 * at + 3));
    return picture(about, (context) => context.putImageData(pixels, 0, 0));
  }

  // The picture of an answer's preview, which shows a box of the image.
  async function placed({ png, box: [left, top, right, bottom] }, about) {
    const seen = element("img", { src: `data:image/png;base64,${png}` });
    await seen.decode();
    return picture(about, (context) => {
      context.fillRect(0, 0, about.columns, about.rows);
      context.drawImage(seen, left, top, right - left, bottom - top);
    });
  }

  // Asks for the frame to classify; each one asked for is another question about the file.
  function choiceOf(item, frames) {
    const number = element("input", { className: "button", type: "number", min: 1, max: frames, value: 1, required: true });
    const classify = async () => {
      if (!number.reportValidity()) return;
      const frame = number.valueAsNumber;
      item.request?.abort();
      item.name = `${item.file.name} (frame ${frame})`;
      await item.dicom.show(frame);
      retry(item);
    };
    number.addEventListener("keydown", ({ key }) => key === "Enter" && classify());
    return [element("label", {}, "Frame ", number, ` of ${frames}`), element("button", { type: "button", textContent: "Classify", onclick: classify })];
  }

  // Returns what is sent of an image's file, and adds to the image its picture and how to ask about it.
  return async (item) => {
    const { size } = item.file;
    if (size > MAX_BYTES) throw { title: TITLES[413], detail: `This file has ${bytes(size)}. Choose a file of one slice.` };
    const view = new DataView(await item.file.arrayBuffer());
    let about;
    let body;
    try {
      const found = parse(view);
      [about, body] = [described(found), stripped(found)];
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw { title: "Broken DICOM file", detail: "This DICOM file is truncated or broken. Its header cannot be removed, so it is not sent." };
    }
    if (about.frames > 1) item.choice = choiceOf(item, about.frames);
    item.dicom = {
      question: { title: "Several frames", detail: `This file has ${about.frames} frames. Choose one below the image.` },
      async show(frame) {
        const picture = await drawn(body, frame);
        this.query = `${item.choice ? `&frame=${frame}` : ""}${picture ? "" : "&preview=true"}`; // of the request
        if (picture) setPicture(item, picture);
      },
      place: async (preview) => setPicture(item, await placed(preview, about)),
    };
    await item.dicom.show(1);
    if (item === current) select(item);
    return body;
  };
})();
