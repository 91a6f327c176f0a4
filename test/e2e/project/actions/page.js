function main({ name = "you" }) {
  return { body: `<p>${name}</p>`, headers: { "content-type": "text/html" } };
}
