// Joins lines into a text.
function main({ lines = [] }) {
  if (!Array.isArray(lines)) return { error: "lines must be an array" };
  return { lines, payload: lines.join("\n") };
}
