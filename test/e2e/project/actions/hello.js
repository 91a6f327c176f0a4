function main({ name, place, big }) {
  return { msg: `Hello, ${name} from ${place}`, big };
}
