// Counts the words of a text.
function main({ payload = "" }) {
  const words = String(payload).match(/\S+/g) ?? [];
  return { count: words.length };
}
