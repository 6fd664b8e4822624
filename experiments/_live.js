// Draws the live figures of the report: plain SVG, no library, nothing fetched.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { left: 58, right: 14, top: 26, bottom: 38 };
  const HEIGHT = 270;
  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

  const element = (name, attributes, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const ink = (colour) => `var(--${colour})`;

  // An axis maps its ends to pixels; what lies beyond them is cut by the panel's clip path.
  const scale = (axis, from, to) => {
    const at = axis.log ? Math.log10 : (value) => value;
    const [low, high] = [at(axis.low), at(axis.high)];
    return (value) => from + ((to - from) * (at(value) - low)) / (high - low);
  };

  const ticks = (axis, room) => {
    const most = Math.max(2, Math.floor(room / 64));
    if (axis.log) {
      const [low, high] = [Math.ceil(Math.log10(axis.low)), Math.floor(Math.log10(axis.high))];
      const step = Math.max(1, Math.ceil((high - low + 1) / most));
      const found = [];
      for (let e = low; e <= high; e += step) found.push(10 ** e);
      return found;
    }
    const rough = (axis.high - axis.low) / most;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * unit >= rough) * unit;
    const found = [];
    for (let i = Math.ceil(axis.low / step - 1e-9); i * step <= axis.high + 1e-9 * step; i += 1) {
      found.push(i * step);
    }
    return found;
  };

  const written = (value, log) => {
    if (!log) return String(Number(value.toPrecision(4)));
    const exponent = Math.round(Math.log10(value));
    if (exponent >= 0 && exponent <= 2) return String(10 ** exponent);
    const digits = [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[digit]).join("");
    return `10${exponent < 0 ? "⁻" : ""}${digits}`;
  };

  const pathOf = (xs, ys, x, y) => {
    let path = "";
    let pen = "M";
    xs.forEach((value, i) => {
      const place = value === null || ys[i] === null ? [NaN] : [x(value), y(ys[i])];
      if (!place.every(Number.isFinite)) {
        pen = "M";
        return;
      }
      path += `${pen}${place.map((each) => each.toFixed(1)).join()}`;
      pen = "L";
    });
    return path;
  };

  const MARKS = {
    line: (mark, x, y) => [
      element("path", {
        d: pathOf(mark.x, mark.y, x, y),
        fill: "none",
        style: `stroke:${ink(mark.colour)}`,
        "stroke-width": mark.width,
        "stroke-linejoin": "round",
        ...(mark.dashed ? { "stroke-dasharray": "5 3" } : {}),
      }),
    ],
    dots: (mark, x, y) =>
      mark.x
        .map((value, i) => [value, mark.y[i]])
        .filter(([value, height]) => value !== null && height !== null)
        .map(([value, height]) =>
          element("circle", {
            cx: x(value),
            cy: y(height),
            r: mark.size,
            style: `fill:${ink(mark.colour)};stroke:var(--paper)`,
          }),
        ),
    area: (mark, x, y) => {
      const above = pathOf(mark.x, mark.high, x, y);
      const low = Array.isArray(mark.low) ? mark.low : mark.x.map(() => mark.low);
      const below = pathOf([...mark.x].reverse(), [...low].reverse(), x, y);
      const style = `fill:${ink(mark.colour)};fill-opacity:${mark.opacity}`;
      return [element("path", { d: `${above}${below.replace("M", "L")}Z`, style })];
    },
    bars: (mark, x, y) =>
      mark.starts.map((start, i) =>
        element("rect", {
          x: x(start),
          y: y(mark.high),
          width: Math.max(0, x(mark.ends[i]) - x(start)),
          height: y(mark.low) - y(mark.high),
          style: `fill:${ink(mark.colour)}`,
        }),
      ),
    note: (mark, x, y) => [
      element(
        "text",
        {
          x: x(mark.x),
          y: y(mark.y),
          "text-anchor": mark.anchor,
          style: `fill:${ink(mark.colour)}`,
        },
        mark.text,
      ),
    ],
  };

  const axes = (panel, x, y, width) => {
    const drawn = [];
    const bottom = HEIGHT - MARGIN.bottom;
    for (const value of ticks(panel.x, width)) {
      drawn.push(element("line", { x1: x(value), x2: x(value), y1: MARGIN.top, y2: bottom }));
      const text = { x: x(value), y: bottom + 15, "text-anchor": "middle", class: "tick" };
      drawn.push(element("text", text, written(value, panel.x.log)));
    }
    for (const value of ticks(panel.y, HEIGHT)) {
      drawn.push(element("line", { x1: x(panel.x.low), x2: width, y1: y(value), y2: y(value) }));
      const text = { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end", class: "tick" };
      drawn.push(element("text", text, written(value, panel.y.log)));
    }
    if (panel.y.label) {
      const height = (MARGIN.top + bottom) / 2;
      const turned = { "text-anchor": "middle", transform: `translate(13 ${height}) rotate(-90)` };
      drawn.push(element("text", turned, panel.y.label));
    }
    const middle = (MARGIN.left + width) / 2;
    const below = { x: middle, y: HEIGHT - 6, "text-anchor": "middle" };
    drawn.push(element("text", below, panel.x.label));
    drawn.push(element("text", { x: 2, y: 14, class: "title" }, panel.title));
    return drawn;
  };

  const draw = (panel, marks, place, clip) => {
    const total = Math.max(260, place.clientWidth);
    const right = total - MARGIN.right;
    const x = scale(panel.x, MARGIN.left, right);
    const y = scale(panel.y, HEIGHT - MARGIN.bottom, MARGIN.top);
    const svg = element("svg", { viewBox: `0 0 ${total} ${HEIGHT}`, role: "img" });
    svg.setAttribute("aria-label", `${panel.title}: ${panel.y.label || "values"} by ${panel.x.label}`);
    const frame = { x: MARGIN.left, y: MARGIN.top - 4, width: right - MARGIN.left };
    const height = HEIGHT - MARGIN.top - MARGIN.bottom + 8;
    const cut = element("clipPath", { id: clip });
    cut.append(element("rect", { ...frame, height }));
    const inside = element("g", { "clip-path": `url(#${clip})` });
    const all = [...panel.still, ...marks];
    for (const mark of all.filter((mark) => mark.kind !== "note")) {
      inside.append(...MARKS[mark.kind](mark, x, y));
    }
    svg.append(cut, ...axes(panel, x, y, right), inside);
    for (const mark of all.filter((mark) => mark.kind === "note")) {
      svg.append(...MARKS.note(mark, x, y));
    }
    place.replaceChildren(svg);
  };

  const start = (figure) => {
    const live = JSON.parse(figure.querySelector("script").textContent);
    const [slider, button] = [figure.querySelector("input"), figure.querySelector("button")];
    const [output, panels] = [figure.querySelector("output"), figure.querySelector(".panels")];
    const places = live.panels.map(() => panels.appendChild(document.createElement("div")));
    const show = () => {
      const frame = live.frames[slider.value];
      live.panels.forEach((panel, i) => {
        draw(panel, frame.marks[i], places[i], `${figure.id}-${i}`);
      });
      output.textContent = frame.told;
      slider.setAttribute("aria-valuetext", frame.told);
    };
    let playing;
    const stop = () => {
      clearInterval(playing);
      playing = undefined;
      button.textContent = "▶";
      button.setAttribute("aria-label", "play");
    };
    const step = () => {
      if (Number(slider.value) >= Number(slider.max)) stop();
      else {
        slider.value = Number(slider.value) + 1;
        show();
      }
    };
    button.addEventListener("click", () => {
      if (playing !== undefined) {
        stop();
        return;
      }
      if (slider.value === slider.max) slider.value = 0;
      show();
      button.textContent = "⏸";
      button.setAttribute("aria-label", "pause");
      playing = setInterval(step, Math.min(700, 9000 / live.frames.length));
    });
    slider.addEventListener("input", () => {
      stop();
      show();
    });
    figure.querySelectorAll("[hidden]").forEach((part) => part.removeAttribute("hidden"));
    new ResizeObserver(show).observe(panels);
    show();
  };

  document.querySelectorAll("figure.live").forEach(start);
})();
