/* The player, the score curve and the events of a report. No library, no request but the page's own
   files: the numbers of a video come as a script when its card comes near the window. */
'use strict';

const mmvadPage = (() => {
  const FOOT = 18;  /* below the curve, for times; pixels */
  const cards = new Map();
  let active = null;
  let moment = null;

  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /* As seconds_text in plots.py. */
  function timeText(seconds) {
    if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    const two = value => String(value).padStart(2, '0');
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60;
    return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
  }

  /* As score_color in drawing.py: green over yellow to red. */
  function scoreColour(score, [low, high]) {
    const share = high > low ? clamp((score - low) / (high - low), 0, 1) : 0;
    const part = value => Math.min(1, 2 * value);
    return `rgb(${Math.round(40 + 200 * part(share))}, ${Math.round(40 + 180 * part(1 - share))}, 40)`;
  }

  /* First place in an ascending list that is not below a value. */
  function lowerBound(list, value) {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle] < value) low = middle + 1; else high = middle;
    }
    return low;
  }

  class Card {
    constructor(root) {
      this.root = root;
      this.number = Number(root.dataset.number);
      this.video = $('.stage video', root);
      this.boxes = $('.boxes', root);
      this.curve = $('.curve', root);
      this.now = $('.now', root);
      this.toggle = $('.toggle', root);
      this.data = null;
      this.time = 0;
      root.addEventListener('pointerdown', () => activate(this));
      root.addEventListener('focusin', () => activate(this));
      for (const chip of all('.chip', root)) chip.addEventListener('click', () => open(chip));
      if (this.toggle) this.toggle.addEventListener('change', () => this.draw());
      if (this.curve) {
        this.curve.addEventListener('pointerdown', event => this.pointed(event));
        this.curve.addEventListener('pointermove', event => { if (event.buttons) this.pointed(event); });
      }
      if (this.video) this.follow();
    }

    load() {
      if (this.asked) return;
      this.asked = true;
      const script = document.createElement('script');
      script.src = this.root.dataset.source;
      document.body.append(script);
    }

    take(data) {
      this.data = data;
      this.root.dataset.ready = 'true';
      this.draw();
    }

    /* The frame that is shown: browsers that say so say it exactly. */
    follow() {
      const shown = time => { this.time = time; this.draw(); };
      if ('requestVideoFrameCallback' in HTMLVideoElement.prototype) {
        const each = (_, frame) => { shown(frame.mediaTime); this.video.requestVideoFrameCallback(each); };
        this.video.requestVideoFrameCallback(each);
      } else {
        const each = () => { shown(this.video.currentTime); if (!this.video.paused) requestAnimationFrame(each); };
        this.video.addEventListener('play', each);
        this.video.addEventListener('seeked', each);
      }
      this.video.addEventListener('play', () => activate(this));
      this.video.addEventListener('loadedmetadata', () => this.draw());
    }

    pointed(event) {
      if (!this.data) return;
      const place = this.curve.getBoundingClientRect();
      this.seek(clamp((event.clientX - place.left) / place.width, 0, 1) * this.data.seconds);
    }

    /* Into the middle of a frame: its edges belong to either. */
    seek(seconds) {
      if (!this.data) return;
      const last = this.data.scores ? this.data.scores.length - 1 : Math.floor(this.data.seconds * this.data.fps);
      const frame = clamp(Math.floor(seconds * this.data.fps + 1e-6), 0, Math.max(last, 0));
      this.time = (frame + 0.5) / this.data.fps;
      if (this.video) this.video.currentTime = this.time;
      this.draw();
    }

    get frame() {
      return this.data ? Math.floor(this.time * this.data.fps + 1e-3) : 0;
    }

    draw() {
      if (!this.data) return;
      this.drawBoxes();
      if (this.curve && this.data.scores) this.drawCurve();
    }

    rows() {
      const found = this.data.objects;
      if (!found) return [0, 0];
      return [lowerBound(found.frames, this.frame), lowerBound(found.frames, this.frame + 1)];
    }

    drawBoxes() {
      const { boxes: canvas, video, data } = this;
      if (!canvas || !video || !video.videoWidth) return;
      const pixels = window.devicePixelRatio || 1;
      const area = canvas.getBoundingClientRect();
      canvas.width = Math.round(area.width * pixels);
      canvas.height = Math.round(area.height * pixels);
      const paint = canvas.getContext('2d');
      paint.clearRect(0, 0, canvas.width, canvas.height);
      const found = data.objects;
      const [from, to] = this.toggle && !this.toggle.checked ? [0, 0] : this.rows();
      this.root.dataset.boxes = String(to - from);
      if (!found || !data.size) return;
      /* The picture is as large as the element allows, and in its middle. */
      const scale = Math.min(area.width / video.videoWidth, area.height / video.videoHeight);
      const left = (area.width - video.videoWidth * scale) / 2;
      const top = (area.height - video.videoHeight * scale) / 2;
      const [height, width] = data.size;
      const across = video.videoWidth * scale / width, down = video.videoHeight * scale / height;
      paint.scale(pixels, pixels);
      paint.font = '600 13px system-ui, sans-serif';
      paint.textBaseline = 'bottom';
      const order = [...Array(to - from).keys()].map(k => from + k).sort((a, b) => found.scores[a] - found.scores[b]);
      for (const row of order) {
        const [x1, y1, x2, y2] = found.boxes.slice(4 * row, 4 * row + 4);
        const x = left + x1 * across, y = top + y1 * down;
        paint.strokeStyle = paint.fillStyle = scoreColour(found.scores[row], data.limits);
        paint.lineWidth = 2;
        paint.strokeRect(x, y, (x2 - x1) * across, (y2 - y1) * down);
        const text = found.scores[row].toFixed(2);
        const wide = paint.measureText(text).width + 6;
        const line = Math.max(y, 17);
        paint.fillRect(x - 1, line - 17, wide, 17);
        paint.fillStyle = '#000';
        paint.fillText(text, x + 2, line - 2);
      }
    }

    drawCurve() {
      const { curve: canvas, data } = this;
      const pixels = window.devicePixelRatio || 1;
      const area = canvas.getBoundingClientRect();
      if (!area.width) return;
      const count = data.scores.length;
      const look = [area.width, area.height, pixels, colour('--curve')].join();
      if (look !== this.look) {
        this.look = look;
        this.plate = this.drawPlate(area, pixels);
      }
      if (canvas.width !== this.plate.width) canvas.width = this.plate.width;
      if (canvas.height !== this.plate.height) canvas.height = this.plate.height;
      const paint = canvas.getContext('2d');
      paint.setTransform(1, 0, 0, 1, 0, 0);
      paint.clearRect(0, 0, canvas.width, canvas.height);
      paint.drawImage(this.plate, 0, 0);
      paint.scale(pixels, pixels);
      const frame = clamp(this.frame, 0, count - 1);
      const place = (frame + 0.5) / count * area.width;
      paint.strokeStyle = colour('--text');
      paint.lineWidth = 1;
      paint.beginPath();
      paint.moveTo(place, 0);
      paint.lineTo(place, area.height - FOOT);
      paint.stroke();
      this.tell(frame);
    }

    /* All of the curve but the present frame: once for a size, however long the video is. */
    drawPlate(area, pixels) {
      const { data } = this;
      const canvas = document.createElement('canvas');
      canvas.width = Math.round(area.width * pixels);
      canvas.height = Math.round(area.height * pixels);
      const paint = canvas.getContext('2d');
      paint.scale(pixels, pixels);
      const count = data.scores.length, head = 4;
      let low = data.threshold ?? Infinity, high = data.threshold ?? -Infinity;
      for (const values of [data.scores, data.raw || []]) {
        for (const value of values) { if (value < low) low = value; if (value > high) high = value; }
      }
      const x = frame => frame / count * area.width;
      const y = value => head + (high > low ? (high - value) / (high - low) : 0.5) * (area.height - head - FOOT);
      for (const [start, stop] of data.labels || []) {
        paint.fillStyle = colour('--abnormal');
        paint.fillRect(x(start), 0, x(stop) - x(start), area.height - FOOT);
      }
      for (const found of data.moments) {
        if (!found.event) continue;
        const start = found.start * data.fps, stop = (found.end ?? found.peak) * data.fps + 1;
        paint.fillStyle = colour('--event');
        paint.fillRect(x(start), 0, Math.max(x(stop) - x(start), 2), area.height - FOOT);
        paint.fillStyle = colour('--alarm');
        paint.fillRect(x(start), area.height - FOOT - 3, Math.max(x(stop) - x(start), 2), 3);
      }
      if (data.threshold !== null) {
        paint.strokeStyle = colour('--alarm');
        paint.setLineDash([6, 5]);
        paint.beginPath();
        paint.moveTo(0, y(data.threshold));
        paint.lineTo(area.width, y(data.threshold));
        paint.stroke();
        paint.setLineDash([]);
      }
      if (data.raw) this.line(paint, data.raw, x, y, area.width, colour('--raw'), 1);
      this.line(paint, data.scores, x, y, area.width, colour('--curve'), 2);
      paint.fillStyle = colour('--soft');
      paint.font = '12px system-ui, sans-serif';
      const marks = Math.max(1, Math.floor(area.width / 110));
      for (let mark = 0; mark <= marks; mark++) {
        paint.textAlign = mark === 0 ? 'left' : mark === marks ? 'right' : 'center';
        paint.fillText(timeText(data.seconds * mark / marks), area.width * mark / marks, area.height - 4);
      }
      return canvas;
    }

    /* Of long videos the lowest and highest of what falls into one column. */
    line(paint, values, x, y, width, stroke, thickness) {
      paint.strokeStyle = stroke;
      paint.lineWidth = thickness;
      paint.lineJoin = 'round';
      paint.beginPath();
      const step = Math.max(1, Math.floor(values.length / (2 * width)));
      for (let start = 0; start < values.length; start += step) {
        let low = values[start], high = low;
        for (let i = start + 1; i < Math.min(start + step, values.length); i++) {
          if (values[i] < low) low = values[i];
          if (values[i] > high) high = values[i];
        }
        const place = x(start + step / 2);
        if (start === 0) paint.moveTo(place, y(low)); else paint.lineTo(place, y(low));
        if (high > low) paint.lineTo(place, y(high));
      }
      paint.stroke();
    }

    tell(frame) {
      const { data } = this;
      const seconds = frame / data.fps;
      const [from, to] = this.rows();
      let text = `${timeText(seconds)} · frame ${frame} · score ${data.scores[frame].toFixed(2)}`;
      if (to > from) text += ` · highest box ${Math.max(...data.objects.scores.slice(from, to)).toFixed(2)}`;
      this.now.textContent = text;
      this.curve.setAttribute('aria-valuenow', seconds.toFixed(3));
      this.curve.setAttribute('aria-valuetext', `${timeText(seconds)}, score ${data.scores[frame].toFixed(2)}`);
      this.root.dataset.frame = String(frame);
    }
  }

  function activate(card) {
    if (active === card) return;
    if (active) {
      active.root.classList.remove('active');
      if (active.video) active.video.pause();
    }
    active = card;
    card.root.classList.add('active');
    card.load();
  }

  /* An event: go to its peak, and say why. */
  function open(chip, focus = false) {
    const card = cards.get(Number(chip.closest('.video').dataset.number));
    activate(card);
    moment = chip;
    for (const other of all('.chip[aria-expanded="true"]')) {
      if (other === chip) continue;
      other.setAttribute('aria-expanded', 'false');
      document.getElementById(other.getAttribute('aria-controls')).hidden = true;
    }
    chip.setAttribute('aria-expanded', 'true');
    document.getElementById(chip.getAttribute('aria-controls')).hidden = false;
    if (card.data) card.seek(Number(chip.dataset.peak)); else card.waiting = Number(chip.dataset.peak);
    $('.status').textContent = `${chip.textContent.trim()}, video ${$('h2', card.root).textContent}`;
    if (focus) {
      chip.focus({ preventScroll: true });
      card.root.scrollIntoView({ block: 'start' });
    }
  }

  function step(by) {
    const chips = all('.chip');
    if (!chips.length) return;
    const at = moment ? chips.indexOf(moment) + by : by > 0 ? 0 : chips.length - 1;
    open(chips[(at + chips.length) % chips.length], true);
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    /* What has keys of its own keeps them: a button its space, the player all. */
    if (target.matches('input, textarea, select, video, summary, pre')) return;
    const card = active || cards.get(0);
    const key = event.key;
    if (key === 'n' || key === 'p') step(key === 'n' ? 1 : -1);
    else if (key === ' ' && !target.matches('button, a') && card && card.video) {
      activate(card);
      if (card.video.paused) card.video.play().catch(() => {}); else card.video.pause();
    } else if ((key === 'ArrowLeft' || key === 'ArrowRight') && card) {
      activate(card);
      if (!card.data) return;
      card.seek(card.time + (key === 'ArrowRight' ? 1 : -1) * (event.shiftKey ? 1 / card.data.fps : 1));
    } else if (key === 'b' && card && card.toggle) {
      card.toggle.checked = !card.toggle.checked;
      card.draw();
    } else return;
    event.preventDefault();
  }

  function start() {
    for (const root of all('.video')) cards.set(Number(root.dataset.number), new Card(root));
    const near = new IntersectionObserver(entries => {
      for (const entry of entries) if (entry.isIntersecting) cards.get(Number(entry.target.dataset.number)).load();
    }, { rootMargin: '600px' });
    const resized = new ResizeObserver(entries => {
      for (const entry of entries) cards.get(Number(entry.target.dataset.number)).draw();
    });
    for (const card of cards.values()) { near.observe(card.root); resized.observe(card.root); }
    document.addEventListener('keydown', pressed);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const card of cards.values()) card.draw();
    });
    document.documentElement.dataset.ready = 'true';
  }

  /* What the script of a video calls. */
  function take(number, data) {
    const card = cards.get(number);
    card.take(data);
    if (card.waiting !== undefined) card.seek(card.waiting);
  }

  start();
  return { take };
})();
