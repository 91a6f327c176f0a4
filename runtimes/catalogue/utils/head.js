// Answers with the first lines.
function main({ lines = [], num = 1 }) {
  const count = Number(num);
  if (!Array.isArray(lines)) return { error: "lines must be an array" };
  if (!Number.isInteger(count) || count < 0) return { error: "num must be a whole number, 0 or more" };
  return { lines: lines.slice(0, count), num: count };
}
