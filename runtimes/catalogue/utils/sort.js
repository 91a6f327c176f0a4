// Sorts lines.
function main({ lines = [] }) {
  if (!Array.isArray(lines)) return { error: "lines must be an array" };
  const sorted = lines.map(String).sort();
  return { lines: sorted, length: sorted.length };
}
