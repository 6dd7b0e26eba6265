/** Plots of characters: braille dots for lines, eighth blocks for sparklines, coloured cells for a matrix. */

const useColour = process.stdout.isTTY === true && !process.env.NO_COLOR

const paint = (code) => (text) => (useColour ? `\u001b[${code}m${text}\u001b[0m` : text)
export const bold = paint('1')
export const dim = paint('2')
export const blue = paint('94')
export const orange = paint('33')
export const green = paint('32')
export const red = paint('31')

/** Dots of one braille cell, by column and row; the numbering is Unicode's (U+2800 and eight bits). */
const DOT = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
]

/** A canvas of 2 x 4 dots a character. Of several layers in one cell the last drawn gives the colour. */
class Canvas {
  constructor(columns, rows) {
    this.columns = columns
    this.rows = rows
    this.bits = new Uint8Array(columns * rows)
    this.layer = new Array(columns * rows).fill((text) => text)
  }

  /** x and y in 0..1, y upwards. */
  line(x0, y0, x1, y1, layer, step = 1) {
    const [width, height] = [2 * this.columns - 1, 4 * this.rows - 1]
    const length = Math.max(Math.abs(x1 - x0) * width, Math.abs(y1 - y0) * height, 1)
    for (let i = 0; i <= length; i += step) {
      const x = Math.round((x0 + ((x1 - x0) * i) / length) * width)
      const y = Math.round((1 - (y0 + ((y1 - y0) * i) / length)) * height)
      const cell = (y >> 2) * this.columns + (x >> 1)
      this.bits[cell] |= DOT[x & 1][y & 3]
      this.layer[cell] = layer
    }
  }

  lines() {
    return Array.from({ length: this.rows }, (_, row) =>
      Array.from({ length: this.columns }, (_, column) => {
        const cell = row * this.columns + column
        return this.bits[cell] ? this.layer[cell](String.fromCharCode(0x2800 + this.bits[cell])) : ' '
      }).join(''),
    )
  }
}

/** Both series one above the other, joined where the warping path joins them. */
export function alignmentPlot(query, match, path, { columns = 76, rows = 18 } = {}) {
  const canvas = new Canvas(columns, rows)
  const scale = (values, bottom, top) => {
    const least = Math.min(...values)
    const span = Math.max(...values) - least || 1
    return [...values].map((value) => bottom + ((value - least) / span) * (top - bottom))
  }
  const upper = scale(query, 0.58, 1)
  const lower = scale(match, 0, 0.42)
  const x = (i, values) => i / (values.length - 1)
  for (let k = 0; k < path.length; k += 6) {
    const [i, j] = [path[k], path[k + 1]]
    canvas.line(x(i, query), upper[i] - 0.02, x(j, match), lower[j] + 0.02, dim, 4)
  }
  const polyline = (values, layer) => {
    for (let i = 1; i < values.length; i++) canvas.line(x(i - 1, values), values[i - 1], x(i, values), values[i], layer)
  }
  polyline(upper, blue)
  polyline(lower, orange)
  return canvas.lines()
}

/** One character a bin, from U+2581 (lowest) to U+2588 (highest). */
export function sparkline(values, columns) {
  const least = Math.min(...values)
  const span = Math.max(...values) - least || 1
  return Array.from({ length: columns }, (_, bin) => {
    const value = values[Math.round((bin / (columns - 1)) * (values.length - 1))]
    return String.fromCharCode(0x2581 + Math.round((7 * (value - least)) / span))
  }).join('')
}

/** Rows of numbers on a background from dark to bright blue; the numbers alone where there is no colour. */
export function heatMap(names, valueAt) {
  const width = Math.max(...names.map((name) => name.length))
  const head = `${' '.repeat(width + 4)}${names.map((_, j) => String(j + 1).padStart(5)).join('')}`
  const rows = names.map((name, i) => {
    const cells = names.map((_, j) => {
      const value = valueAt(i, j)
      const text = i === j ? '  .  ' : ` ${value.toFixed(2)}`
      if (!useColour || i === j) return text
      return `\u001b[48;5;${[233, 17, 18, 19, 20, 26, 32, 38, 44, 50][Math.min(9, Math.floor(value * 10))]}m\u001b[97m${text}\u001b[0m`
    })
    return `${String(i + 1).padStart(2)}  ${name.padEnd(width)}${cells.join('')}`
  })
  return [head, ...rows]
}

export const percent = (fraction, digits = 1) => `${fraction >= 0 ? '+' : '-'}${Math.abs(100 * fraction).toFixed(digits)} %`
export const coloured = (fraction, text) => (fraction >= 0 ? green(text) : red(text))
