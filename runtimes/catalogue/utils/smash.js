// Puts all arguments under one name: that which the argument $fieldName says.
function main({ $fieldName: name, ...rest }) {
  if (typeof name !== "string") return { error: "$fieldName must be a text" };
  return { [name]: rest };
}
