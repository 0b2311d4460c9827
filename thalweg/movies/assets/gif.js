/* Animated pictures, GIF 89a, made in the page.

   gif.film({ width, height, frames, paint, inks, told })   a Promise of the bytes: paint(context, frame) draws each
        frame, `inks` are colours that must be there, told(share) is called on the way
   gif.writer(width, height, palette)                       .add(places, hundredths), .bytes()                     */
const gif = (() => {
  "use strict";
  const SAME = 255; // this place of the palette leaves what the frame before has there

  /* A list of bytes that grows. */
  const growing = () => {
    let held = new Uint8Array(1 << 16), count = 0;
    const room = (more) => {
      if (count + more <= held.length) return;
      const larger = new Uint8Array(2 * Math.max(held.length, count + more));
      larger.set(held);
      held = larger;
    };
    return {
      put(...bytes) { room(bytes.length); for (const byte of bytes) held[count++] = byte; },
      word(x) { this.put(x & 255, x >> 8); },
      text(words) { this.put(...[...words].map((c) => c.charCodeAt(0))); },
      all(bytes) { room(bytes.length); held.set(bytes, count); count += bytes.length; },
      done: () => held.slice(0, count),
    };
  };

  /* Return places of a palette of 256 as LZW codes of 9 to 12 bits: a code is added for each run of places that has
     none, and all are forgotten when there are 4096. */
  const CLEAR = 256, END = 257;
  const known = new Int16Array(4096 << 8); // the code of a run and the place after it; 0 where there is none
  const squeezed = (places) => {
    const out = growing();
    let bits = 0, waiting = 0, wide = 9, next = END + 1;
    const put = (code) => {
      bits |= code << waiting;
      for (waiting += wide; waiting >= 8; waiting -= 8, bits >>>= 8) out.put(bits & 255);
      if (next === 1 << wide && wide < 12) wide++;
    };
    const forget = () => {
      known.fill(0);
      [wide, next] = [9, END + 1];
    };
    known.fill(0);
    put(CLEAR);
    let run = places[0];
    for (let i = 1; i < places.length; i++) {
      const key = (run << 8) | places[i];
      if (known[key]) {
        run = known[key];
        continue;
      }
      put(run);
      if (next < 4096) known[key] = next++;
      else {
        put(CLEAR);
        forget();
      }
      run = places[i];
    }
    put(run);
    put(END);
    if (waiting) out.put(bits & 255);
    return out.done();
  };

  /* The file itself: of each frame only the rectangle that changed, and there only what changed. */
  const writer = (width, height, palette) => {
    const out = growing(), before = new Uint8Array(width * height).fill(SAME);
    out.text("GIF89a");
    out.word(width);
    out.word(height);
    out.put(0xf7, 0, 0);
    for (let k = 0; k < 256; k++) out.put(...(palette[k] ?? [0, 0, 0]));
    out.put(0x21, 0xff, 11);
    out.text("NETSCAPE2.0");
    out.put(3, 1, 0, 0, 0);
    const changed = (places) => {
      let [left, top, right, bottom] = [width, height, -1, -1];
      for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) if (places[i] !== before[i]) {
        [left, right, bottom] = [Math.min(left, x), Math.max(right, x), y];
        top = Math.min(top, y);
      }
      return right < 0 ? [0, 0, 1, 1] : [left, top, right - left + 1, bottom - top + 1];
    };
    return {
      add(places, hundredths) {
        const [left, top, wide, high] = changed(places), part = new Uint8Array(wide * high);
        for (let y = 0, k = 0; y < high; y++) for (let x = 0; x < wide; x++, k++) {
          const i = (top + y) * width + left + x;
          part[k] = places[i] === before[i] ? SAME : places[i];
        }
        before.set(places);
        out.put(0x21, 0xf9, 4, 0x05);
        out.word(hundredths);
        out.put(SAME, 0, 0x2c);
        [left, top, wide, high].forEach((x) => out.word(x));
        out.put(0, 8);
        const codes = squeezed(part);
        for (let k = 0; k < codes.length; k += 255) {
          const piece = codes.subarray(k, k + 255);
          out.put(piece.length);
          out.all(piece);
        }
        out.put(0);
      },
      bytes() {
        out.put(0x3b);
        return out.done();
      },
    };
  };

  /* Return at most 255 colours: those that must be there, and the most frequent others; `placed` gives pixels (RGBA)
     as places among them. Colours that share their first six bits are one. */
  const bin = (data, i) => ((data[i] >> 2) << 12) | ((data[i + 1] >> 2) << 6) | (data[i + 2] >> 2);
  const chosen = (pictures, inks) => {
    const counts = new Uint32Array(1 << 18), sums = new Float64Array(3 << 18);
    for (const data of pictures) for (let i = 0; i < data.length; i += 4) {
      const place = bin(data, i);
      counts[place]++;
      for (let k = 0; k < 3; k++) sums[3 * place + k] += data[i + k];
    }
    const mean = (place) => [0, 1, 2].map((k) => Math.round(sums[3 * place + k] / counts[place]));
    const often = [...counts.keys()].filter((place) => counts[place]).sort((a, b) => counts[b] - counts[a]);
    const palette = [...inks, ...often.slice(0, SAME - inks.length).map(mean)].slice(0, SAME);
    const nearest = new Int16Array(1 << 18).fill(-1);
    const find = (data, i) => {
      let best = 0, least = Infinity;
      for (let k = 0; k < palette.length; k++) {
        const [red, green, blue] = palette[k], away = (red - data[i]) ** 2 + (green - data[i + 1]) ** 2 + (blue - data[i + 2]) ** 2;
        if (away < least) [least, best] = [away, k];
      }
      return best;
    };
    const placed = (data) => {
      const found = new Uint8Array(data.length / 4);
      for (let i = 0; i < data.length; i += 4) {
        const place = bin(data, i);
        if (nearest[place] < 0) nearest[place] = find(data, i);
        found[i >> 2] = nearest[place];
      }
      return found;
    };
    return { palette, placed };
  };

  const film = async ({ width, height, frames, paint, inks = [], told = () => {}, seconds = 8 }) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const seen = (frame) => {
      paint(context, frame);
      return context.getImageData(0, 0, width, height).data;
    };
    const last = frames.length - 1, each = Math.max(2, Math.round((100 * seconds) / Math.max(last, 1)));
    const { palette, placed } = chosen([frames[0], frames[last >> 1], frames[last]].map(seen), inks);
    const made = writer(width, height, palette);
    for (let k = 0; k <= last; k++) {
      made.add(placed(seen(frames[k])), k < last ? each : each + 100);
      told((k + 1) / frames.length);
      await new Promise((go) => { setTimeout(go); }); // the page stays alive
    }
    return made.bytes();
  };

  /* Make an animated picture at the press of a button, which tells how far it is; the page waits for it. */
  const atButton = async (button, player, name, given) => {
    const main = document.querySelector("main"), frame = player.frame, words = button.textContent;
    player.pause();
    main.inert = true;
    try {
      const bytes = await film({ ...given, told: (share) => { button.textContent = `${words} ${Math.round(100 * share)} %`; } });
      saving.save(`${name}.gif`, "image/gif", bytes);
    } finally {
      main.inert = false;
      button.textContent = words;
      player.go(frame);
    }
  };
  /* At most `most` whole frames from 0 to the last, evenly. */
  const some = (last, most = 80) => {
    const count = Math.min(most, last + 1);
    return Array.from({ length: count }, (_, k) => Math.round((k * last) / Math.max(count - 1, 1)));
  };

  return { film, writer, chosen, atButton, some };
})();
