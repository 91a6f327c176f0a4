function main({ msg, ...rest }) {
  return { msg: msg.toUpperCase(), ...rest };
}
