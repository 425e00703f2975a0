// Draws charts of what stands in the page; without this the sentence and the table remain.
const STYLES = [[], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [1, 3]];
const COLOURS = ["--active", "--good", "--warning", "--bad", "--muted", "--ink"];
const HEIGHT = 180;
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function colour(name) {
  // A colour of two schemes is resolved only where it is used.
  const probe = document.createElement("span");
  probe.className = "hidden";
  document.body.append(probe);
  probe.style.color = `var(${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function write(value, unit) {
  if (value === null || value === undefined) return "–";
  return SHORT.format(value) + (unit === "bytes" ? "B" : "");
}

function draw(place) {
  const { at, series, unit } = JSON.parse(place.dataset.chart);
  const names = Object.keys(series);
  const below = place.parentElement.querySelector("[data-chart-value]");
  const zone = document.querySelector("footer")?.dataset.zone ?? "UTC";
  const day = at.at(-1) - at[0] > 2 * 86400;
  const clock = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    ...(day ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" }),
  });
  const whole = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone, dateStyle: "medium", timeStyle: "short",
  });
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: true }, y: { range: (plot, low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [
      { ...axis, space: 72, values: (plot, ticks) => ticks.map((tick) => clock.format(tick * 1000)) },
      { ...axis, size: 56, values: (plot, ticks) => ticks.map((tick) => write(tick, unit)) },
    ],
    series: [
      {},
      ...names.map((name, place) => ({
        label: name, stroke: colour(COLOURS[place]), width: 2, dash: STYLES[place], // A line of one point would not be seen.
        points: { show: series[name].filter((value) => value !== null).length < 2 },
      })),
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const index = plot.cursor.idx;
          const [moments, ...values] = plot.data;
          below.textContent = index === null || index === undefined
            ? JSON.parse(place.dataset.chart).says
            : `${whole.format(moments[index] * 1000)}: ` +
              names.map((name, order) => `${name} ${write(values[order][index], unit)}`).join(" · ");
        },
      ],
    },
  };
  const plot = new uPlot(options, [at, ...names.map((name) => series[name])], place);
  const legend = document.createElement("p");
  legend.className = "legend hint";
  names.forEach((name, index) => {
    const item = document.createElement("span");
    const line = document.createElement("span");
    line.className = "key";
    line.style.borderTopColor = colour(COLOURS[index]);
    line.style.borderTopStyle = index ? "dashed" : "solid";
    item.append(line, name);
    legend.append(item);
  });
  if (names.length > 1) below.after(legend);
  return { plot, legend, place, names };
}

// Reads the page's numbers and charts again while somebody sees it.
async function refresh() {
  if (document.hidden) return;
  const address = new URL(location.href);
  address.searchParams.set("part", "live");
  const answer = await fetch(address, { redirect: "error" }).catch(() => null);
  if (!answer?.ok) return;
  const { charts, numbers } = await answer.json();
  for (const place of document.querySelectorAll("[data-number]")) {
    place.textContent = numbers[place.dataset.number];
  }
  for (const place of document.querySelectorAll("[data-chart]")) {
    const data = charts[place.dataset.name];
    if (data) place.dataset.chart = JSON.stringify(data);
    if (data) place.parentElement.querySelector("[data-chart-value]").textContent = data.says;
  }
  for (const { plot, place, names } of drawn) {
    const { at, series } = JSON.parse(place.dataset.chart);
    if (Object.keys(series).join() !== names.join()) return drawAll();
    plot.setData([at, ...names.map((name) => series[name])]);
  }
}

const REFRESH = 10_000;
let drawn = [];
function drawAll() {
  for (const { plot, legend } of drawn) {
    plot.destroy();
    legend.remove();
  }
  drawn = [...document.querySelectorAll("[data-chart]")].map(draw);
}

if (globalThis.uPlot) {
  drawAll();
  setInterval(refresh, REFRESH);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    for (const { plot, place } of drawn) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  });
}
