// Greets somebody from somewhere.
function main({ name = "stranger", place = "somewhere" }) {
  return { payload: `Hello, ${name} from ${place}!` };
}
