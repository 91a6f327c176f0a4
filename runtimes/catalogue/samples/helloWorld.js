// Greets in its logs.
function main({ payload = "world" }) {
  console.log(`hello ${payload}!`);
  return {};
}
